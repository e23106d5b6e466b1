"""The page that runs a bundle: it replays, begins by itself, and fits every screen."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from browser_pages import RUNTIME, asked
from command_line import PROCESS, ROOT
from module_bundles import RECIPES
from page_projects import (
    CLIENT,
    Project,
    in_a_thread,
    rewrite,
    step_of,
    visit,
    wait_for_step,
    wait_until,
)

from pipeline.bundle import Bundle
from pipeline.embed.browser.server import serve

KINDS = ("series", "text", "both", "wide")


LINE = ["target", "runtime", "model", "calls", "outputs", "states", "share"]
LINE += ["microseconds_per_step", "passed"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_replays_the_golden_trajectories(
    kind: str, page_project: Project, browser: Any
) -> None:
    folder = page_project(kind)
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


def test_numbers_that_do_not_match_are_said(page_project: Project, browser: Any) -> None:
    folder = page_project("series")
    golden = json.loads((folder / "model" / "golden.json").read_text())
    golden["trajectories"][0]["calls"][0]["output"]["data"][0] += 0.01
    rewrite(folder / "model", "golden.json", json.dumps(golden).encode())
    with serve(folder) as url, visit(browser, url) as page:
        assert page.inner_text("#verdict").startswith("✗ Not")
        found = json.loads(page.locator("#replay").text_content())
    assert found["passed"] is False
    assert found["outputs"] == pytest.approx(0.01, rel=1e-3)
    assert found["share"] > 1


def test_names_are_text_on_the_page_and_show_what_is_hidden(
    page_project: Project, browser: Any
) -> None:
    folder = page_project("wide")
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
    kind: str, place: str, page_project: Project, browser: Any
) -> None:
    with serve(page_project(kind)) as url, visit(browser, url) as page:
        assert json.loads(page.locator("#replay").text_content())["passed"] is True
        assert page.locator(place).is_visible()
        if kind == "sine-gru":
            wait_for_step(page, step_of(page) + 1)


@pytest.mark.parametrize("kind", RECIPES)
def test_the_page_of_a_module_replays_and_shows_its_contract(
    kind: str, page_project: Project, browser: Any
) -> None:
    size = {"width": 360, "height": 740}
    with serve(page_project(kind)) as url, visit(browser, url, viewport=size) as page:
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


def test_a_module_is_fed_by_hand_and_from_a_file(page_project: Project, browser: Any) -> None:
    with serve(page_project("cell")) as url, visit(browser, url) as page:
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


def test_the_page_begins_by_itself(page_project: Project, browser: Any) -> None:
    with serve(page_project("text")) as url, visit(browser, url) as page:
        prompt = page.input_value("#prompt")
        assert prompt.strip() != ""
        assert page.locator("#written").text_content().startswith(prompt)
        assert len(page.locator("#written").text_content()) == len(prompt) + 400


@pytest.mark.parametrize(("kind", "last"), [("series", "csv"), ("text", "seed")])
def test_the_keyboard_reaches_every_control_and_shows_where_it_is(
    kind: str, last: str, page_project: Project, browser: Any
) -> None:
    with serve(page_project(kind)) as url, visit(browser, url) as page:
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
    kind: str, scheme: str, page_project: Project, browser: Any
) -> None:
    size = {"width": 360, "height": 740}
    options: dict[str, Any] = {"viewport": size, "color_scheme": scheme, "device_scale_factor": 3}
    with serve(page_project(kind)) as url, visit(browser, url, **options) as page:
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
    page_bundles: dict[str, Bundle], web_runtime: Path, tmp_path: Path
) -> None:
    bundle = page_bundles["series"]
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
