"""The report: what it says, and that nothing breaks out of it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from conftest import write_tiny_bundle
from module_bundles import write_module_bundle
from tiny import text_config, trained, validation_of
from validated import Page, Validated, changed, failing

from pipeline.bundle import Bundle
from pipeline.checkpoint import save_checkpoint
from pipeline.contract.law import LESS_THAN_FLOAT32
from pipeline.data import Text
from pipeline.report.html import report_html
from pipeline.report.samples import TextSample, continue_text
from pipeline.train.scores import score
from pipeline.validate import FreeRun
from pipeline.validate.shares import percent

HOSTILE = "<script>alert('it ran')</script> & \"<img src=x onerror=alert(1)>\" </pre>\n" * 14


@pytest.fixture(scope="session")
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


def test_shares_are_written_for_people() -> None:
    shares = (0.0, 0.000123, 0.0123, 0.123, 1.0, 2.5, 1234.5, float("inf"))
    told = ["0 %", "0.012 %", "1.2 %", "12 %", "100 %", "250 %", "123,450 %", "not finite"]
    assert [words(percent(share)) for share in shares] == told


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
