"""The report and the JUnit file: what they say, that nothing breaks out, and how they look."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import onnxruntime
import pytest
import torch
from conftest import write_tiny_bundle
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from module_bundles import write_module_bundle
from tiny import text_config, trained, validation_of

from pipeline.bundle import Bundle
from pipeline.checkpoint import save_checkpoint
from pipeline.contract.law import LESS_THAN_FLOAT32
from pipeline.data import Text
from pipeline.errors import IntegrityError
from pipeline.report import html
from pipeline.report.current import is_current
from pipeline.report.figures import apart, draw_along_stream, draw_by_length, draw_spread
from pipeline.report.html import report_html
from pipeline.report.junit import junit_xml
from pipeline.report.samples import TextSample, continue_text
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.storage import update_file
from pipeline.train.scores import score
from pipeline.validate import CaseRecord, FreeRun, Row, Validation
from pipeline.validate.shares import percent

Validated = tuple[Bundle, Validation]
HOSTILE = "<script>alert('it ran')</script> & \"<img src=x onerror=alert(1)>\" </pre>\n" * 14


class Page(HTMLParser):
    """Tags with their attributes, and the text, of a page."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.parts: list[str] = []
        self.feed(data.decode())
        self.text = " ".join(" ".join(self.parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def validated(tiny_bundle: Callable[[str], Bundle]) -> list[Validated]:
    bundles = [tiny_bundle(name) for name in ("sine-lstm", "char-gru")]
    return [(bundle, validation_of(bundle)) for bundle in bundles]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Validated:
    """A text model that learned to write what would break out of a page."""
    folder = tmp_path_factory.mktemp("hostile")
    data, config = Text(HOSTILE), text_config("gru")
    trainer = trained(config, data)
    scores = score(trainer.best_network(), data)
    save_checkpoint(folder / "checkpoint", trainer, config, data, scores)
    bundle = write_tiny_bundle(folder / "checkpoint", folder / "exported" / "char-gru")
    return bundle, validation_of(bundle)


def words(text: str) -> str:
    """``text`` with plain spaces, as :class:`Page` has them."""
    return " ".join(text.split())


def changed(validation: Validation, format: str, **update: Any) -> Validation:
    """``validation`` with other findings in the row of ``format``."""
    rows = [
        row.model_copy(update=update) if row.format == format else row for row in validation.rows
    ]
    return validation.model_copy(update={"rows": tuple(rows)})


def failing(validation: Validation) -> Validation:
    """One case of ONNX is NaN at a place of its own, TorchScript crashed, PyTorch did not run."""
    (row,) = (row for row in validation.rows if row.format == "ONNX")
    worst = row.cases[3].worst.model_copy(
        update={"tensor": "next_state", "index": (0, 1, 2), "expected": 0.125, "found": None}
    )
    wrong = row.cases[3].model_copy(update={"share": None, "passed": False, "worst": worst})
    cases = (*row.cases[:3], wrong, *row.cases[4:])
    validation = changed(validation, "ONNX", status="fail", reason="it is <b>off</b>", cases=cases)
    crash = "RuntimeError: \x1b[1mtime is frozen"
    validation = changed(
        validation, "TorchScript", status="fail", reason=crash, cases=(), free_run=None
    )
    return changed(
        validation, "PyTorch", status="not run", reason="not installed", cases=(), free_run=None
    )


def test_a_pass_is_said_at_the_top_with_its_counts(validated: list[Validated]) -> None:
    page = Page(report_html(validated))
    assert "✓ All is well 2 models on 3 runtimes: 246 cases give PyTorch's numbers." in page.text
    largest = max(row.share or 0 for _, validation in validated for row in validation.rows)
    assert f"The largest error is {words(percent(largest))} of the tolerance." in page.text
    assert "failed" not in page.text
    assert page.of("html") == [{"lang": "en"}]
    assert [len(page.of(tag)) for tag in ("h1", "h2", "details")] == [1, 2, 4]
    assert not [one for one in page.of("details") if "open" in one]
    for bundle, validation in validated:
        assert f"✓ {validation.model}" in page.text
        assert f"--exported {bundle.folder.parent}" in page.text
        assert validation.machine in page.text
        assert f"torch {validation.versions['torch']}" in page.text
        record = max(validation.rows[-1].cases, key=lambda record: record.share or 0)
        place = f"{record.worst.tensor}{list(record.worst.index)}"
        assert f"{place} {record.worst.expected:.8g} " in page.text
    assert "recurrent_0 on CPUExecutionProvider" in page.text


def test_a_failure_is_said_at_the_top_and_named_with_its_place(validated: list[Validated]) -> None:
    (bundle, validation), other = validated
    page = Page(report_html([(bundle, failing(validation)), other]))
    assert "✗ Not all is well: 1 of 2 models failed 2 of 5 rows failed, with 1 of 164 cases" in (
        page.text
    )
    name = f"onnxruntime {onnxruntime.__version__}"
    assert f"{name} on cpu (sine-lstm): it is <b>off</b>" in page.text  # text, not a tag
    assert f"{name} ✗ not finite next_state[0, 1, 2] 0.125 not finite" in page.text
    assert not page.of("b")
    assert ["open" in one for one in page.of("details")] == [True, False, False, False]


def test_a_runtime_that_did_not_run_is_one_line_at_the_end(validated: list[Validated]) -> None:
    absent = [
        (bundle, changed(validation, "PyTorch", status="not run", reason="not installed", cases=()))
        for bundle, validation in validated
    ]
    page = Page(report_html(absent))
    assert page.text.endswith(f"Did not run PyTorch {torch.__version__} on cpu: not installed")
    assert page.text.count("not installed") == 1
    page = Page(report_html([absent[0], validated[1]]))
    assert page.text.endswith(f"PyTorch {torch.__version__} on cpu (sine-lstm): not installed")


def test_loops_have_a_table_of_their_own(tiny_bundle: Callable[[str], Bundle]) -> None:
    bundle = tiny_bundle("sine-lstm")
    steps, loops = (validation_of(bundle, graph=graph) for graph in ("model", "forecast"))
    assert loops.rows
    both = steps.model_copy(update={"rows": (*steps.rows, *loops.rows)})
    assert "Loops inside the graph" not in Page(report_html([(bundle, steps)])).text
    page = Page(report_html([(bundle, both)]))
    tables = [attributes["aria-label"] for attributes in page.of("table")]
    assert tables[:4] == [
        "Largest error of each runtime",
        "Largest error of each loop",
        "Largest errors of sine-lstm",
        "Largest errors of the loop of sine-lstm",
    ]
    first, rest = page.text.split("Loops inside the graph")
    small = rest.split("Models")[0]
    for table, rows in ((first, steps.rows), (small, loops.rows)):
        for row in rows:
            assert f"{row.runtime} ✓ {words(percent(row.share or 0))}" in table


def test_nothing_compared_is_a_failure(validated: list[Validated]) -> None:
    (bundle, validation), _ = validated
    for row in validation.rows:
        validation = changed(validation, row.format, status="not run", reason="gone", cases=())
    page = Page(report_html([(bundle, validation)]))
    assert "Not all is well: 1 of 1 model failed Nothing was compared." in page.text
    assert "No runtime ran." in page.text


def test_the_page_is_whole_in_itself_and_says_what_its_pictures_show(
    validated: list[Validated], hostile: Validated
) -> None:
    data = report_html([validated[0], hostile])
    page = Page(data)
    assert not re.search(rb"https?://|@import|url\((?!#)", data)
    assert not {"script", "link", "iframe", "img", "object"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert (attributes.get("href") or "#").startswith("#")
        assert not [name for name in attributes if name == "src" or name.startswith("on")]
    pictures = page.of("svg")
    assert len(pictures) == len(page.of("figure")) == 4 + 3
    for picture in pictures:
        assert picture["role"] == "img"
        assert len(picture["aria-label"] or "") > 60
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"] for _, attributes in page.tags if "href" in attributes}
    assert {link for link in links if link} <= {f"#{name}" for name in ids}


def test_what_a_model_read_and_wrote_is_text(hostile: Validated) -> None:
    data = report_html([hostile])
    sample = continue_text(hostile[0])
    assert "<script>" in sample.prompt
    assert b"<script>" not in data
    assert b"&lt;script&gt;" in data
    assert "".join(sample.prompt.split()) in "".join(Page(data).text.split())


def test_the_sample_goes_on_from_the_held_out_text(hostile: Validated) -> None:
    sample = continue_text(hostile[0])
    vocabulary = hostile[0].manifest.vocabulary or ""
    assert (sample.prompt + sample.truth) in HOSTILE
    assert len(sample.written) == len(sample.truth) > 0
    assert set(sample.written) <= set(vocabulary)
    assert TextSample("a", "bcd", "bcx").agreeing == 2


def test_a_page_is_current_until_its_findings_change(
    validated: list[Validated], tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    assert not is_current(path, validated)
    path.write_bytes(report_html(validated))
    assert is_current(path, validated)
    assert not is_current(path, validated[:1])
    bundle, validation = validated[0]
    other = validation.model_copy(update={"machine": "another"})
    assert not is_current(path, [(bundle, other), *validated[1:]])


def test_a_page_whose_writer_was_killed_is_not_current_and_drawing_it_again_clears_up(
    validated: list[Validated], tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(report_html(validated))
    (tmp_path / ".report.html.lock").touch()
    assert not is_current(path, validated)
    update_file(path, report_html(validated))
    assert [left.name for left in tmp_path.iterdir()] == ["report.html"]
    assert is_current(path, validated)


def test_the_same_findings_give_the_same_page_and_the_file_is_left_alone(
    validated: list[Validated], tmp_path: Path
) -> None:
    path = tmp_path / "new" / "report.html"
    update_file(path, report_html(validated))
    before = path.stat()
    update_file(path, report_html(validated))
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    update_file(path, report_html(validated[:1]))
    assert path.stat().st_ino != before.st_ino


def test_a_model_that_failed_is_reported_and_not_run_again(
    validated: list[Validated], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*given: object) -> None:
        raise AssertionError("a runtime that hung would hang here too")

    monkeypatch.setattr(OnnxRuntime, "run", hang)
    page = Page(report_html([(bundle, failing(found)) for bundle, found in validated]))
    assert page.text.count("no row of ONNX Runtime passed") == 2


def test_a_free_run_that_differs_says_where(validated: list[Validated]) -> None:
    bundle, validation = validated[1]
    note = "'a' instead of 'b': logits 1.0e-02 apart, 1.0e-04 allowed"
    wrong = FreeRun(steps=40, first_difference=7, tie=False, note=note, passed=False)
    validation = changed(validation, "ONNX", status="fail", reason="differs", free_run=wrong)
    page = Page(report_html([(bundle, validation)]))
    assert f"✗ differs 40 steps, step 7: {note}" in page.text
    tie = wrong.model_copy(update={"tie": True, "passed": True})
    validation = changed(validated[1][1], "ONNX", free_run=tie)
    assert f"tie 40 steps, step 7: {note}" in Page(report_html([(bundle, validation)])).text


def test_a_runtime_that_computes_in_less_is_said_to_be_judged_by_that(
    validated: list[Validated],
) -> None:
    bundle, validation = validated[0]
    tolerance = LESS_THAN_FLOAT32["bfloat16"]
    update = {"precision": "bfloat16", "tolerance": tolerance, "note": "told by nobody"}
    page = Page(report_html([(bundle, changed(validation, "ONNX", **update))]))
    assert "told by nobody; judged by 0.02 + 0.01 of the value" in page.text


def test_a_changed_file_is_never_drawn(validated: list[Validated], tmp_path: Path) -> None:
    bundle, validation = validated[0]
    shutil.copytree(bundle.folder, tmp_path / "copy")
    (tmp_path / "copy" / "onnx" / "model.onnx").write_bytes(b"other")
    with pytest.raises(IntegrityError):
        report_html([(replace(bundle, folder=tmp_path / "copy"), validation)])


def test_shares_are_written_for_people() -> None:
    shares = (0.0, 0.000123, 0.0123, 0.123, 1.0, 2.5, 1234.5, float("inf"))
    told = ["0 %", "0.012 %", "1.2 %", "12 %", "100 %", "250 %", "123,450 %", "not finite"]
    assert [words(percent(share)) for share in shares] == told


def drawn(draw: Callable[..., str], rows: list[Row]) -> tuple[Any, str]:
    """The axes that ``draw`` draws ``rows`` into, and its alternative text."""
    figure = Figure(layout="constrained")
    told = draw(figure, rows)
    (axes,) = figure.axes
    return axes, told


def test_a_picture_by_length_has_the_largest_error_of_every_length_and_no_other(
    validated: list[Validated],
) -> None:
    rows = list(validated[0][1].rows)
    axes, told = drawn(draw_by_length, rows)
    for row, line in zip(rows, axes.lines, strict=True):
        expected: dict[int, float] = {}
        for record in row.cases:
            expected[record.time] = max(expected.get(record.time, 0), record.share or 0)
        assert line.get_label() == row.label
        assert dict(zip(line.get_xdata(), line.get_ydata(), strict=True)) == {
            time: max(share, 1e-4) for time, share in expected.items()
        }
        assert min(line.get_xdata()) == 1
        assert f"{percent(expected[200])} at 200" in told
    assert [int(tick) for tick in axes.get_xticks()] == [1, 2, 7, 60, 200, 600]  # not 50
    assert axes.get_xscale() == "log"


def test_loops_are_on_the_picture_of_all_cases_and_on_no_other(
    tiny_bundle: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tiny_bundle("char-gru")
    steps, loops = (validation_of(bundle, graph=graph) for graph in ("model", "generate"))
    assert any(record.time == 0 for row in loops.rows for record in row.cases)
    both = steps.model_copy(update={"rows": (*steps.rows, *loops.rows)})
    seen: dict[str, list[str]] = {}
    for name in ("draw_spread", "draw_by_length", "draw_along_stream"):
        draw = getattr(html, name)

        def watch(figure: Figure, rows: list[Row], draw: Any = draw) -> str:
            seen[draw.__name__] = [row.graph for row in rows]
            return str(draw(figure, rows))

        monkeypatch.setattr(html, name, watch)
    report_html([(bundle, both)])
    of_steps = ["model"] * len(steps.rows)
    assert seen == {
        "draw_spread": [*of_steps, *["generate"] * len(loops.rows)],
        "draw_by_length": of_steps,
        "draw_along_stream": of_steps,
    }


def test_the_picture_of_all_cases_has_each_of_them_and_marks_what_is_beyond(
    validated: list[Validated],
) -> None:
    rows = [row for row in failing(validated[0][1]).rows if row.cases]
    axes, told = drawn(draw_spread, rows)
    strips, dots = axes.collections[::2], axes.collections[1::2]
    for place, (row, strip, dot) in enumerate(zip(rows, strips, dots, strict=True)):
        shares = [10 if record.share is None else record.share for record in row.cases]
        points = strip.get_offsets()
        assert points[:, 0].tolist() == [max(share, 1e-4) for share in shares]
        assert set(points[:, 1]) == {place}
        assert dot.get_offsets()[0].tolist() == [max(shares), place]
        red = [tuple(color[:3]) == to_rgb("#d62728") for color in strip.get_facecolor()]
        assert red == [share > 1 for share in shares]
    assert f"{rows[0].label}: 41 cases, at most not finite" in told


def test_the_picture_of_a_stream_has_every_hundredth_of_it(validated: list[Validated]) -> None:
    rows = list(validated[0][1].rows)
    axes, _ = drawn(draw_along_stream, rows)
    for row, line in zip(rows, axes.lines[:-1], strict=True):
        (curve,) = (record.curve for record in row.cases if record.curve)
        assert line.get_ydata().tolist() == list(curve)
        assert line.get_xdata()[-1] == 600
    assert set(axes.lines[-1].get_ydata()) == {1e-5}


def test_labels_of_lengths_are_apart_and_the_longest_is_there() -> None:
    assert apart([7]) == [7]
    assert apart([1, 2, 7, 50, 333, 1000, 10_000]) == [1, 2, 7, 50, 333, 1000, 10_000]
    assert apart([1, 2, 3, 98, 99, 100]) == [1, 2, 3, 100]


def records(validations: list[Validation]) -> list[tuple[Row, CaseRecord]]:
    rows = [row for validation in validations for row in validation.rows]
    return [(row, record) for row in rows for record in row.cases]


def test_junit_has_one_test_per_case(validated: list[Validated]) -> None:
    validations = [validation for _, validation in validated]
    root = ElementTree.fromstring(junit_xml(validations))
    assert [suite.get("name") for suite in root] == ["sine-lstm", "char-gru"]
    tests = list(root.iter("testcase"))
    free = [test for test in tests if "free run, 40 steps" in (test.get("name") or "")]
    assert len(free) == 6
    expected = [f"{row.model}.{row.runtime}.{row.provider}" for row, _ in records(validations)]
    assert [test.get("classname") for test in tests if test not in free] == expected
    assert len({(test.get("classname"), test.get("name")) for test in tests}) == len(tests)
    for element in (root, *root):
        inside = str(len(list(element.iter("testcase"))))
        counts = [element.get(name) for name in ("tests", "failures", "errors", "skipped")]
        assert counts == [inside, "0", "0", "0"]


def test_junit_tells_failures_and_rows_that_did_not_run(validated: list[Validated]) -> None:
    root = ElementTree.fromstring(junit_xml([failing(validated[0][1])]))
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("44", "2", "1")
    crash, wrong = root.iter("failure")
    assert crash.get("message") == "RuntimeError: \N{REPLACEMENT CHARACTER}[1mtime is frozen"
    assert "next_state[0, 1, 2] is not finite, not 0.125" in (wrong.get("message") or "")
    assert wrong.text == "it is <b>off</b>"
    assert [skip.get("message") for skip in root.iter("skipped")] == ["not installed"]


OUTSIDE = """() => [...document.querySelectorAll("body *")].filter(element => {
    const box = element.getBoundingClientRect()
    return box.right > innerWidth + 0.5 || box.left < -0.5
}).map(element => element.outerHTML.slice(0, 80))"""
# Labels of one picture that lie on each other, or are too small to read.
UNREADABLE = """() => [...document.querySelectorAll("svg")].flatMap(picture => {
    const labels = [...picture.querySelectorAll("text")].map(
        label => [label.textContent, label.getBoundingClientRect()])
    const small = labels.filter(([, box]) => Math.min(box.width, box.height) < 5)
    const pairs = labels.flatMap(([one, a], index) => labels.slice(index + 1).filter(([, b]) =>
        Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
        Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3
    ).map(([other]) => [one, other]))
    return [...small.map(([text]) => text), ...pairs]
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_all_readable_and_nothing_beyond_the_page(
    validated: list[Validated],
    hostile: Validated,
    browser: Any,
    tmp_path: Path,
    width: int,
    scheme: str,
) -> None:
    bundle, validation = validated[0]
    path = tmp_path / "report.html"
    module = write_module_bundle("module", tmp_path / "module")
    loops = validation_of(hostile[0], graph="generate").rows
    whole = hostile[1].model_copy(update={"rows": (*hostile[1].rows, *loops)})
    shown = [(bundle, failing(validation)), (hostile[0], whole), (module, validation_of(module))]
    path.write_bytes(report_html(shown))
    page = browser.new_page(viewport={"width": width, "height": 740}, color_scheme=scheme)
    said: list[str] = []

    def dismiss(dialog: Any) -> None:
        said.append(dialog.message)
        dialog.dismiss()

    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", dismiss)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri(), wait_until="load")
    top = page.locator("h1").bounding_box()
    assert top["y"] + top["height"] < 740 / 2
    folded = page.locator("#model-2")
    assert not folded.is_visible()
    page.locator("thead a, tbody a").nth(1).evaluate("link => location.hash = link.hash")
    page.wait_for_function("document.querySelector('#model-2').closest('details').open")
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(UNREADABLE) == []
    for picture in page.locator("svg").all():
        box = picture.bounding_box()
        assert 250 < box["width"] <= width
        assert box["height"] > 70
    background, ink = (
        page.evaluate(f"getComputedStyle(document.querySelector('{place}')).{what}")
        for place, what in (("body", "backgroundColor"), ("svg text", "fill"))
    )
    bright = [sum(map(int, re.findall(r"\d+", color)[:3])) > 380 for color in (background, ink)]
    assert bright == ([True, False] if scheme == "light" else [False, True])
    page.close()
    assert said == []
    assert {url.partition("#")[0] for url in asked} == {path.as_uri()}
