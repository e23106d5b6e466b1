"""The page that runs a bundle: it replays, writes, forecasts, refuses, and keeps working alone."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_pages import CLIENT, LIBRARIES, RUNTIME, asked, install_libraries, write_page
from command_line import PROCESS, ROOT
from conftest import write_tiny_bundle
from embedded import FORMAT_1, zero_state
from module_bundles import RECIPES, write_module_bundle
from tiny import edit_sealed, open_session, refused, saved, series_config

from pipeline.bundle import Bundle, open_bundle
from pipeline.config import SeriesSource
from pipeline.embed.browser.server import replay_in_browser, serve
from pipeline.embed.project import project_files, write_project
from pipeline.embed.sums import SUMS_FILE
from pipeline.embed.targets import find_target
from pipeline.errors import (
    IntegrityError,
    MalformedError,
    PipelineError,
    UnavailableError,
)

KINDS = ("series", "text", "both", "wide")
LINE = ["target", "runtime", "model", "calls", "outputs", "states", "share"]
LINE += ["microseconds_per_step", "passed"]

Project = Callable[[str], Path]


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_libraries(tmp_path_factory)


@pytest.fixture(scope="session")
def bundles(
    tiny_bundle: Callable[[str], Bundle], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Bundle]:
    """A series, a text, one of whole sequences, and one that reads more than it forecasts.

    Beside these :data:`KINDS`, there are bundles of format 1, and those of modules.
    """
    root = tmp_path_factory.mktemp("bundles")
    steps = np.arange(200)
    table = np.column_stack([np.sin(steps / 5), steps % 7])
    np.savetxt(root / "load.csv", table, delimiter=",", header="load,day", comments="")
    columns = {"target": ("load",), "columns": ("load", "day")}
    source = SeriesSource(file=str(root / "load.csv"), **columns)
    plain = series_config("lstm")
    model = plain.model.model_copy(update={"features": 2, "targets": 1})
    configs = {
        "both": series_config("gru", bidirectional=True, readout="final", state_penalty=0.0),
        "wide": plain.model_copy(update={"source": source, "model": model}),
    }
    made = {"series": tiny_bundle("sine-lstm"), "text": tiny_bundle("char-gru")}
    for name, config in configs.items():
        saved(root / "checkpoints" / name, config)
        made[name] = write_tiny_bundle(root / "checkpoints" / name, root / name)
    made |= {name: open_bundle(FORMAT_1 / name) for name in ("sine-gru", "char-lstm")}
    return made | {kind: write_module_bundle(kind, root / kind) for kind in RECIPES}


@pytest.fixture
def project(bundles: dict[str, Bundle], runtime: Path, tmp_path: Path) -> Project:
    """Writes the project of a bundle, with its runtime in place."""

    return lambda kind: write_page(bundles[kind], runtime, tmp_path / kind)


@contextmanager
def visit(browser: Any, url: str, clean: bool = True, **options: Any) -> Iterator[Any]:
    """The page, once it has replayed; nothing may be said on its console or asked elsewhere."""
    context = browser.new_context(**options)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    context.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    page.locator("#replay:not(:empty)").wait_for(state="attached")
    shown = "#text:visible, #series-status:not(:empty), #stream:visible, #error:visible"
    page.locator(shown).first.wait_for()
    yield page
    context.close()
    assert [address for address in asked if not address.startswith((url, "data:"))] == []
    if clean:
        assert said == []


def in_a_thread(url: str) -> dict[str, Any]:
    """``replay_in_browser`` away from the Playwright of these tests."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(replay_in_browser, url).result()


def step_of(page: Any) -> int:
    """How many rows the page says it has read."""
    found = re.match(r"Step ([\d,]+) of", page.inner_text("#series-status"))
    assert found
    return int(found[1].replace(",", ""))


def picture(page: Any) -> bytes:
    data: bytes = page.locator("#chart").screenshot()
    return data


def has_ink(page: Any) -> bool:
    """Whether anything is drawn in both plots of the chart."""
    found: bool = page.evaluate(
        "() => { const all = [...document.querySelectorAll('#chart canvas')];"
        " return all.length === 2 && all.every((one) => one.getContext('2d')"
        ".getImageData(0, 0, one.width, one.height).data.some(Boolean)) }"
    )
    return found


def wait_until(page: Any, true: Callable[[], bool]) -> None:
    for _ in range(200):
        if true():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it never came")


def wait_for_step(page: Any, step: int) -> None:
    wait_until(page, lambda: step_of(page) >= step)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_replays_the_golden_trajectories(
    kind: str, project: Project, browser: Any
) -> None:
    folder = project(kind)
    manifest = json.loads((folder / "model" / "manifest.json").read_text())
    with serve(folder) as url:
        found = in_a_thread(url)
        with visit(browser, url) as page:
            facts = page.inner_text("main")
            verdict = page.inner_text("#verdict")
            shown = json.loads(page.locator("#replay").text_content())
            assert page.title() == manifest["name"]
            page.locator("#error").wait_for(state="hidden")
    assert list(found) == list(shown) == LINE
    assert found["passed"] is True
    assert 0 < found["outputs"] < 1e-5
    assert 0 < found["share"] < 1
    assert (found["states"] == 0) == (manifest["states"] == [])
    assert found["microseconds_per_step"] > 1
    assert re.fullmatch(r"onnxruntime-web \d+\.\d+\.\d+, Chromium \d+", found["runtime"])
    assert found["model"] == manifest["name"]
    assert verdict.startswith("✓")
    assert f"Passed: {found['calls']} golden calls" in facts
    for fact in (f"{manifest['parameters']:,}", manifest["versions"]["torch"], "onnx/model.onnx"):
        assert fact in facts


def test_numbers_that_do_not_match_are_said(project: Project, browser: Any) -> None:
    folder = project("series")
    golden = json.loads((folder / "model" / "golden.json").read_text())
    golden["trajectories"][0]["calls"][0]["output"]["data"][0] += 0.01
    rewrite(folder / "model", "golden.json", json.dumps(golden).encode())
    with serve(folder) as url, visit(browser, url) as page:
        assert page.inner_text("#verdict").startswith("✗ Not")
        found = json.loads(page.locator("#replay").text_content())
    assert found["passed"] is False
    assert found["outputs"] == pytest.approx(0.01, rel=1e-3)
    assert found["share"] > 1


def test_names_are_text_on_the_page_and_show_what_is_hidden(project: Project, browser: Any) -> None:
    folder = project("wide")
    manifest = json.loads((folder / "model" / "manifest.json").read_text())
    name = "<img src=x onerror=alert(1)>\u202e\x1b[2J</title>"
    manifest.pop("sha256", None)
    manifest["source"]["columns"] = [name, "day"]  # that of a model can be no such thing
    (folder / "model" / "manifest.json").write_text(json.dumps(manifest))
    shown = name.replace("\u202e", r"\u202e").replace("\x1b", r"\u001b")
    with serve(folder) as url, visit(browser, url) as page:
        assert page.title() == page.inner_text("#name") == manifest["name"]
        assert page.get_attribute("#chart", "aria-label").startswith(f"Chart of {shown}. ")
        assert page.locator("img").count() == 0


@pytest.mark.parametrize(("kind", "place"), [("sine-gru", "#chart"), ("char-lstm", "#prompt")])
def test_a_bundle_of_format_1_has_its_page(
    kind: str, place: str, project: Project, browser: Any
) -> None:
    with serve(project(kind)) as url, visit(browser, url) as page:
        assert json.loads(page.locator("#replay").text_content())["passed"] is True
        assert page.locator(place).is_visible()
        if kind == "sine-gru":
            wait_for_step(page, step_of(page) + 1)


@pytest.mark.parametrize("kind", RECIPES)
def test_the_page_of_a_module_replays_and_shows_its_contract(
    kind: str, project: Project, browser: Any
) -> None:
    size = {"width": 360, "height": 740}
    with serve(project(kind)) as url, visit(browser, url, viewport=size) as page:
        line = json.loads(page.locator("#replay").text_content())
        facts = page.inner_text("#about")
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert not page.locator("#series").is_visible()
        assert page.locator("#stream-fed").is_visible() == (kind in ("stream", "cell"))
    assert line["passed"] is True
    recipe = RECIPES[kind]
    assert recipe.module.__name__ in facts
    for name, (tensor_type, shape) in recipe.inputs.items():
        row = f"{'state' if name in recipe.states else 'input'} {name}"
        assert row in facts
        assert f"{tensor_type} [{', '.join(map(str, shape))}]" in facts


def test_a_module_is_fed_by_hand_and_from_a_file(project: Project, browser: Any) -> None:
    with serve(project("cell")) as url, visit(browser, url) as page:
        outputs = page.locator("#streamed")

        def feed(line: str) -> None:
            page.fill("#step-values", line)
            page.click("#feed")

        feed("1,2")
        wait_until(page, lambda: outputs.text_content() == "0.75,1,0.875")
        file = {"name": "own.csv", "mimeType": "text/csv", "buffer": b"3,-4\n0,0\n"}
        page.set_input_files("#stream-csv", file)
        page.locator("#stream-status", has_text="3 steps").wait_for()
        assert outputs.text_content() == "0.75,1,0.875\n1.5,0,0.75\n1.5,0,0.75"
        for line, words in (
            ("1", "the step has 1 column; the model reads 2 columns"),
            ("", "the step has no line of numbers"),
            ("1,99999", "x is int16, which cannot hold 1,99999"),
        ):
            feed(line)
            page.locator("#stream-error", has_text=words).wait_for()
        assert page.inner_text("#stream-status") == "3 steps"
        page.click("#restart")
        page.locator("#stream-status", has_text="0 steps").wait_for()
        page.locator("#stream-error").wait_for(state="hidden")
        feed("1,2")
        wait_until(page, lambda: outputs.text_content() == "0.75,1,0.875")


def rewrite(model: Path, name: str, data: bytes) -> None:
    """Another content for a file, with its digest and size in the manifest."""
    from pipeline.storage import sha256

    (model / name).write_bytes(data)
    entry = {"sha256": sha256(data), "bytes": len(data)}
    edit_sealed(model / "manifest.json", lambda manifest: manifest["files"].update({name: entry}))


def written_by(model: Path, prompt: str, length: int, settings: tuple[float, int, float]) -> str:
    """What ONNX Runtime writes with the random numbers of seed 7, 16 characters a call."""
    session = open_session(model / "onnx" / "generate.onnx")
    x = (7 * 0x9E3779B9) % 2**32 | 1
    points, text = np.array([[ord(one) for one in prompt]], np.int64).reshape(1, -1), ""
    state = zero_state(model)
    while len(text) < length:
        uniform = []
        for _ in range(min(16, length - len(text))):
            x ^= x << 13 & 0xFFFFFFFF
            x ^= x >> 17
            x ^= x << 5 & 0xFFFFFFFF
            uniform.append((x >> 8) / 2**24)
        inputs = {
            "prompt": points,
            "uniform": np.array([uniform], np.float32),
            "temperature": np.float32(settings[0]),
            "top_k": np.int64(settings[1]),
            "top_p": np.float32(settings[2]),
            "state": state,
        }
        made, _, state = session.run(None, {key: np.asarray(one) for key, one in inputs.items()})
        text += "".join(map(chr, made[0]))
        points = np.zeros((1, 0), np.int64)
    return text


@pytest.mark.parametrize(
    ("prompt", "length", "settings"),
    [("the naïve 🦊", 70, (1.0, 0, 1.0)), ("", 16, (0.7, 5, 0.9)), ("fox", 33, (0.0, 0, 1.0))],
)
def test_the_text_is_that_of_the_loop_graph(
    prompt: str, length: int, settings: tuple[float, int, float], project: Project, browser: Any
) -> None:
    folder = project("text")
    with serve(folder) as url, visit(browser, url) as page:
        page.fill("#prompt", prompt)
        page.fill("#length", str(length))
        page.fill("#seed", "7")
        for name, value in zip(("temperature", "top-k", "top-p"), settings, strict=True):
            page.fill(f"#{name}", str(value))
        page.click("#write")
        page.locator("#written[aria-busy=false]").wait_for()
        text = page.locator("#written").text_content()
        assert f"{length} characters" in page.inner_text("#text-rate")
    assert text == prompt + written_by(folder / "model", prompt, length, settings)


def test_writing_stops_when_asked_and_strange_characters_are_named(
    project: Project, browser: Any
) -> None:
    with serve(project("text")) as url, visit(browser, url) as page:
        page.fill("#prompt", "Ω fox")
        assert page.inner_text("#prompt-hint").endswith("read as unknown: Ω")
        page.fill("#prompt", "fox")
        assert page.inner_text("#prompt-hint") == ""
        page.fill("#length", "100000")
        page.click("#write")
        wait_until(page, lambda: len(page.locator("#written").text_content()) > 100)
        assert page.inner_text("#write") == "Stop"
        page.click("#write")
        page.locator("#written[aria-busy=false]").wait_for()
        length = len(page.locator("#written").text_content())
        page.wait_for_timeout(200)
        assert len(page.locator("#written").text_content()) == length < 100_000
        assert page.inner_text("#write") == "Write"
        page.fill("#top-p", "2")
        page.click("#write")  # the browser says what is wrong with it
        assert page.locator("#top-p:invalid").count() == 1
        assert len(page.locator("#written").text_content()) == length


def test_the_chart_moves_and_can_be_paused(project: Project, browser: Any) -> None:
    with serve(project("series")) as url, visit(browser, url) as page:
        assert has_ink(page)
        before, first = picture(page), step_of(page)
        wait_for_step(page, first + 3)
        assert picture(page) != before
        page.click("#play")
        assert page.inner_text("#play") == "Play"
        page.wait_for_timeout(300)
        before, first = picture(page), step_of(page)
        page.wait_for_timeout(400)
        assert (picture(page), step_of(page)) == (before, first)
        page.click("#step")
        wait_for_step(page, first + 1)
        assert picture(page) != before
        for slider, value in (("horizon", "20"), ("samples", "30")):
            page.fill(f"#{slider}", value)
            assert page.inner_text(f"output[for={slider}]") == value
        wait_until(page, lambda: "; 20 steps on:" in page.inner_text("#series-status"))
        page.click("#end")
        wait_until(page, lambda: step_of(page) > first + 100)
        last = step_of(page)
        page.click("#play")  # the unseen data begin anew
        wait_until(page, lambda: 0 < step_of(page) < last)


def test_the_forecast_is_that_of_the_loop_graph(project: Project, browser: Any) -> None:
    folder = project("series")
    session = open_session(folder / "model" / "onnx" / "forecast.onnx")
    held_out = json.loads((folder / "model" / "golden.json").read_text())["held_out"]["input"]
    unseen = np.reshape(held_out["data"], held_out["shape"])
    with serve(folder) as url, visit(browser, url, reduced_motion="reduce") as page:
        assert page.inner_text("#play") == "Play"  # moves only when asked
        page.click("#step")
        wait_for_step(page, 121)
        status = page.inner_text("#series-status").replace("\N{MINUS SIGN}", "-")
    inputs = {
        "history": unseen[None, :121].astype(np.float32),
        "steps": np.int64(60),
        "noise": np.zeros((1, 0, 60), np.float32),
        "state": zero_state(folder / "model"),
    }
    forecast, _, _ = session.run(None, {key: np.asarray(one) for key, one in inputs.items()})
    found = re.fullmatch(
        r"Step 121 of [\d,]+: (.+); 60 steps on: (.+), 90 % from (.+) to (.+)", status
    )
    assert found
    read, ahead, low, high = map(float, found.groups())
    assert read == pytest.approx(unseen[120][0], abs=1e-3)
    assert ahead == pytest.approx(float(forecast[0, -1, 0]), abs=1e-3)
    assert low < ahead < high


@pytest.mark.parametrize(
    ("kind", "limit", "status"),
    [
        ("both", "It reads the last 16 steps as a whole: one step ahead", "; the next step: "),
        ("wide", "It reads 2 columns and forecasts 1: one step ahead", "; the next step: "),
    ],
)
def test_a_model_without_a_loop_forecasts_one_step_and_says_so(
    kind: str, limit: str, status: str, project: Project, browser: Any
) -> None:
    with serve(project(kind)) as url, visit(browser, url) as page:
        assert page.inner_text("#series-limit").startswith(limit)
        first = step_of(page)
        wait_for_step(page, first + 2)
        assert status in page.inner_text("#series-status")
        assert "90 % from" in page.inner_text("#series-status")
        assert not page.locator("#horizon").is_visible()


def choose(page: Any, content: str, name: str = "own.csv") -> None:
    file = {"name": name, "mimeType": "text/csv", "buffer": content.encode()}
    page.set_input_files("#csv", file)


@pytest.mark.parametrize(
    ("content", "last", "ahead"),
    [
        ("ds;y\n01.02.2026;1,5\n25.02.2026;3,5\n13.02.2026;2,5\n", "2026-02-25", "2028-02-15"),
        (
            '"date","y"\n' + "".join(f'"2026-0{n}-28","{n}"\n' for n in (1, 2, 3)),
            "2026-03-28",
            "2031-03-28",
        ),
        (
            "when\tload\n2026-01-31 22:00\t1\n2026-01-31 23:00\t2\n",
            "2026-01-31 23:00",
            "2026-02-03 11:00",
        ),
        (
            "ds,y\n"
            + "".join(f"2026-01-{n:02},{n}\n" for n in (5, 6, 7, 8, 9, 12, 13, 14, 15, 16)),
            "2026-01-16",
            "2026-04-10",
        ),
    ],
)
def test_dates_of_a_file_are_shown_and_go_on_in_the_forecast(
    content: str, last: str, ahead: str, project: Project, browser: Any
) -> None:
    with serve(project("series")) as url, visit(browser, url, reduced_motion="reduce") as page:
        choose(page, content)
        page.locator("#series-source", has_text="own.csv").wait_for()
        page.click("#end")
        wait_until(page, lambda: f"({last})" in page.inner_text("#series-status"))
        assert f"; 60 steps on ({ahead}): " in page.inner_text("#series-status")
        page.focus("#chart")
        page.keyboard.press("ArrowRight")
        page.locator("#pointed", has_text="forecast").wait_for()
        assert page.inner_text("#pointed")[:2] == "20"
        assert has_ink(page)


def test_the_chart_zooms_by_mouse_buttons_and_keys_and_says_what_is_pointed_at(
    project: Project, browser: Any
) -> None:
    with serve(project("series")) as url, visit(browser, url) as page:
        plot = page.locator("#chart .u-over").first
        box = plot.bounding_box()
        page.mouse.move(box["x"] + 100, box["y"] + 50)
        page.locator("#pointed", has_text=re.compile(r"^Step \d+ · read ")).wait_for()
        whole = picture(page)
        page.mouse.down()
        page.mouse.move(box["x"] + 300, box["y"] + 50, steps=5)
        page.mouse.up()
        page.locator("#play", has_text="Play").wait_for()  # a view that was chosen stays
        page.wait_for_timeout(300)
        zoomed = picture(page)
        assert zoomed != whole
        page.click("#zoom-out")
        wait_until(page, lambda: picture(page) != zoomed)
        page.click("#zoom-reset")
        page.mouse.move(0, 0)
        page.wait_for_timeout(100)
        usual = picture(page)
        page.click("#zoom-in")
        wait_until(page, lambda: picture(page) != usual)
        page.focus("#chart")
        page.keyboard.press("0")
        page.focus("#zoom-reset")
        wait_until(page, lambda: picture(page) == usual)


def test_the_page_begins_by_itself(project: Project, browser: Any) -> None:
    with serve(project("text")) as url, visit(browser, url) as page:
        prompt = page.input_value("#prompt")
        assert prompt.strip() != ""
        assert page.locator("#written").text_content().startswith(prompt)
        assert len(page.locator("#written").text_content()) == len(prompt) + 400


def test_a_file_of_the_user_is_forecast(project: Project, browser: Any) -> None:
    with serve(project("series")) as url, visit(browser, url) as page:
        choose(page, "\ufefftemperature\r\n" + "".join(f"{n / 9:.3f}\r\n" for n in range(40)))
        page.locator("#series-source", has_text="own.csv, 40 steps").wait_for()
        page.click("#end")
        wait_for_step(page, 40)
        status = page.inner_text("#series-status")
        assert status.startswith("Step 40 of 40: 4.333; 60 steps on: ")
        assert page.get_attribute("#chart", "aria-label") == f"Chart of temperature. {status}"
        page.locator("#play", has_text="Play").wait_for()  # it stays at the end of a file
        page.click("#play")  # or begins anew
        wait_until(page, lambda: 0 < step_of(page) < 40)
        page.click("#held-out")
        page.locator("#series-source", has_text="Unseen data").wait_for()
        transfer = page.evaluate_handle(
            "() => { const all = new DataTransfer();"
            " all.items.add(new File(['1\\n2\\n3\\n'], 'dropped.csv')); return all }"
        )
        page.dispatch_event("#chart", "drop", {"dataTransfer": transfer})
        page.locator("#series-source", has_text="dropped.csv, 3 steps").wait_for()


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("series", "1\n2\n3,4\n5\n", "line 3 of own.csv has 2 columns, where line 1 has 1 column"),
        (
            "series",
            "y\n1\n\nx\n",
            'line 4 of own.csv has "x" in column "y", which is no number; correct it',
        ),
        ("series", 'ds,y\n"2026-01-01","1"\n2026-01-02,\n', "line 3 of own.csv has no value"),
        ("series", "ds,y\n2026-01-01,1\n2026-02-30,2\n", 'line 3 of own.csv has "2026-02-30"'),
        (
            "series",
            "ds;y\n2026-01-02;1\n2026-01-02;2\n",
            "line 3 of own.csv has the time of line 2",
        ),
        (
            "series",
            "ds,y\n2026-01-01,1\n2026-01-02,2\n2026-01-03,3\n2026-01-07,4\n",
            "line 5 of own.csv is 4 steps after line 4, where a step is 1 day; add the lines",
        ),
        ("series", "unique_id,y\na,1\nb,2\n", 'line 3 of own.csv begins another series, "b"'),
        ("series", 'y\n1\n"2\n', "line 3 of own.csv has a quote that is not closed"),
        ("series", "a,b\n1,2\n3,4\n", "own.csv has 2 columns; the model reads 1 column"),
        ("series", "1\n1e99\n", 'line 2 of own.csv has "1e99", which is too large'),
        ("series", "y\n1\n", "own.csv has fewer than two lines of numbers"),
        ("series", "", "own.csv has fewer than two lines of numbers"),
        ("wide", "load,day\n1,2\n3\n", "line 3 of own.csv has 1 column, where line 1 has 2"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_line(
    kind: str, content: str, words: str, project: Project, browser: Any
) -> None:
    with serve(project(kind)) as url, visit(browser, url) as page:
        choose(page, content)
        page.locator("[role=alert]:visible").wait_for()
        line = page.inner_text("[role=alert]:visible")
        assert line.startswith(f"Error: {words}")
        assert len(line.splitlines()) == 1
        first = step_of(page)
        wait_for_step(page, first + 2)  # what was there goes on
        choose(page, "1,2\n3,4\n" if kind == "wide" else "1\n2\n")
        page.locator("#series-source", has_text="own.csv, 2 steps").wait_for()
        page.locator("#series-error").wait_for(state="hidden")


def newer(model: Path) -> None:
    edit_sealed(model / "manifest.json", lambda manifest: manifest.update(format=3))


def other(name: str) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        data = (model / name).read_bytes()
        (model / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    return change


@pytest.mark.parametrize(
    ("harm", "error", "words"),
    [
        (newer, MalformedError, "manifest.json has format 3; this program reads 2; update it"),
        (other("golden.json"), IntegrityError, "golden.json was changed after its export"),
        (other("onnx/model.onnx"), IntegrityError, "onnx/model.onnx was changed after its export"),
        (other("onnx/forecast.onnx"), IntegrityError, "onnx/forecast.onnx was changed after"),
        (lambda model: (model / "manifest.json").unlink(), MalformedError, "manifest.json"),
        (lambda model: (model / "golden.json").unlink(), MalformedError, "golden.json"),
        (lambda model: rewrite(model, "onnx/model.onnx", b"x"), UnavailableError, "cannot load"),
        (
            lambda model: shutil.rmtree(model.parent / "node_modules"),
            UnavailableError,
            "'npm install --ignore-scripts' gets it",
        ),
        (lambda model: (model.parent / "golden.mjs").unlink(), MalformedError, "worker.mjs"),
    ],
)
def test_what_is_wrong_is_one_line_on_the_page_and_an_error_of_ours(
    harm: Callable[[Path], None],
    error: type[PipelineError],
    words: str,
    project: Project,
    browser: Any,
) -> None:
    folder = project("series")
    harm(folder / "model")
    with serve(folder) as url:
        with visit(browser, url, clean=False) as page:
            page.locator("[role=alert]:visible").wait_for()
            line = page.inner_text("[role=alert]:visible")
        with refused(error, words):
            in_a_thread(url)
    assert line.startswith("Error: ")
    assert words in line
    assert len(line.splitlines()) == 1


def test_a_browser_without_webassembly_is_told_so(project: Project, browser: Any) -> None:
    folder = project("text")
    worker = folder / "worker.mjs"
    worker.write_text(f"globalThis.WebAssembly = undefined;\n{worker.read_text()}")
    with serve(folder) as url, visit(browser, url) as page:
        assert "this browser has no WebAssembly" in page.inner_text("[role=alert]:visible")


def kept(page: Any) -> list[str]:
    """The names of the caches, once the service worker has filled them."""
    names: list[str] = page.evaluate("navigator.serviceWorker.ready.then(() => caches.keys())")
    return names


def test_it_works_without_a_network_and_a_new_model_is_not_served_stale(
    project: Project, bundles: dict[str, Bundle], browser: Any
) -> None:
    folder = project("series")
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    replayed = page.locator("#replay:not(:empty)")
    with serve(folder) as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        page.goto(url)
        (first,) = kept(page)
    for address in (url, f"{url}index.html"):  # the server is gone
        page.goto(address)
        page.locator("#series-status:not(:empty)").wait_for()
        assert json.loads(replayed.text_content())["passed"] is True
        wait_for_step(page, 121)
    shutil.rmtree(folder / "model")
    write_project(bundles["text"], find_target("browser"), folder, force=True)
    with serve(folder, port):
        page.goto(url)
        replayed.wait_for(state="attached")
        assert page.title() == "char-gru"
        wait_until(page, lambda: kept(page) not in ([first], []) and len(kept(page)) == 1)
    page.reload()
    replayed.wait_for(state="attached")
    assert page.title() == "char-gru"
    page.click("#write")
    page.locator("#written[aria-busy=false]").wait_for()
    prompt = page.input_value("#prompt")
    assert len(page.locator("#written").text_content()) == len(prompt) + 400
    context.close()
    assert said == []


def test_the_service_worker_keeps_every_file_of_the_page(bundles: dict[str, Bundle]) -> None:
    names = set(project_files(bundles["series"], find_target("browser")))
    others = {"README.md", "index.html", "package.json", "service-worker.js", SUMS_FILE}
    page = {name for name in names - others if not name.startswith("model/")}
    worker = (CLIENT / "service-worker.js").read_text()
    assert set(re.findall(r'^  "(.+)",$', worker, flags=re.M)) == page | LIBRARIES | {"./"}


@pytest.mark.parametrize(("kind", "last"), [("series", "csv"), ("text", "seed")])
def test_the_keyboard_reaches_every_control_and_shows_where_it_is(
    kind: str, last: str, project: Project, browser: Any
) -> None:
    with serve(project(kind)) as url, visit(browser, url) as page:
        controls = page.locator(
            "button:visible, input:visible, textarea:visible, select:visible, [tabindex]:visible"
        )
        wanted = [control.get_attribute("id") for control in controls.all()]
        reached = []
        while last not in reached:
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id"))
            style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert style == "solid", reached
            assert len(reached) < 40
        assert [name for name in reached if name] == wanted
        unnamed = page.evaluate(
            "() => [...document.querySelectorAll('input, textarea, select')]"
            ".filter((one) => one.labels.length === 0).map((one) => one.id)"
        )
        assert unnamed == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(
    kind: str, scheme: str, project: Project, browser: Any
) -> None:
    size = {"width": 360, "height": 740}
    options: dict[str, Any] = {"viewport": size, "color_scheme": scheme, "device_scale_factor": 3}
    with serve(project(kind)) as url, visit(browser, url, **options) as page:
        if kind == "text":
            page.click("#write")
            page.locator("#written[aria-busy=false]").wait_for()
        else:
            wait_for_step(page, 1)
            assert page.evaluate("document.querySelector('#chart canvas').width") >= 3 * 250
        wide = page.evaluate(
            "() => [...document.querySelectorAll('body *')].filter((one) =>"
            " one.getBoundingClientRect().right > 360).map((one) => one.outerHTML.slice(0, 99))"
        )
        assert wide == []
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        page_color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        bright = sum(map(int, re.findall(r"\d+", page_color)[:3])) > 380
        assert bright == (scheme == "light")


def test_the_command_serves_the_page_until_it_is_interrupted(
    bundles: dict[str, Bundle], runtime: Path, tmp_path: Path
) -> None:
    bundle = bundles["series"]
    command = [*PROCESS, "embed", str(bundle.folder), "browser", "--out", "page"]
    with subprocess.Popen(
        [*command, "--serve", "--port", "0"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stderr
        lines = (re.search(r"http://[^;\s]+", line) for line in process.stderr)
        found = next(filter(None, lines), None)
        assert found
        status, _, body = asked(found[0], "/index.html")
        assert (status, body) == (200, (CLIENT / "index.html").read_bytes())
        assert (tmp_path / "page" / RUNTIME).is_dir()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert process.stderr.read() == ""
