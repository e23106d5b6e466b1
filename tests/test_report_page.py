"""The page of a large validation: folded where all is well, and no name broken or ambiguous."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import validation_of

from pipeline.bundle import Bundle
from pipeline.report.html import report_html
from pipeline.report.remarks import remarks
from pipeline.validate import FreeRun, Validation

RUNTIMES = [
    "PyTorch 2.13.0+cpu",
    "TorchScript 2.13.0+cpu",
    "onnxruntime 1.31.1",
    "onnx.reference 1.23.2",
    "openvino 2026.4.1, default",
    "openvino 2026.4.1, f32",
    "tract 0.23.9",
]
SCREEN = 740  # pixels
# Words of tables and summaries that are broken over two lines.
BROKEN = r"""() => [...document.querySelectorAll("th, summary")].flatMap(element => {
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT), broken = []
    while (walker.nextNode())
        for (const word of walker.currentNode.data.matchAll(/[^\s-]+/g)) {
            const range = document.createRange()
            range.setStart(walker.currentNode, word.index)
            range.setEnd(walker.currentNode, word.index + word[0].length)
            if (new Set([...range.getClientRects()].map(box => box.top)).size > 1)
                broken.push(word[0])
        }
    return broken
})"""
# Rows of tables of cases whose cells do not have labels of their own.
AMBIGUOUS = """() => [...document.querySelectorAll(".kinds tbody tr")].filter(row => {
    const labels = [...row.querySelectorAll("td")].map(cell => cell.dataset.label)
    return new Set(labels).size < labels.length
}).map(row => row.innerText)"""


def large(bundle: Bundle, loop: str, name: str) -> Validation:
    """A validation of ``bundle`` in many runtimes, as a model of that ``name``."""
    made = validation_of(bundle)
    [row] = (row for row in made.rows if row.format == "ONNX")
    [inside] = (row for row in validation_of(bundle, graph=loop).rows if row.format == "ONNX")
    rows = [
        one.model_copy(update={"model": name, "runtime": runtime})
        for one in (row, inside)
        for runtime in RUNTIMES
    ]
    return made.model_copy(update={"model": name, "rows": tuple(rows)})


@pytest.fixture(scope="module")
def validated(tiny_bundle: Callable[[str], Bundle]) -> list[tuple[Bundle, Validation]]:
    """Six models, each in many runtimes, also with the loop inside."""
    kinds = {"sine-lstm": "forecast", "char-gru": "generate"}
    return [
        (tiny_bundle(preset), large(tiny_bundle(preset), loop, f"{preset}-{number}"))
        for preset, loop in kinds.items()
        for number in range(3)
    ]


@pytest.mark.parametrize("width", [390, 1280])
def test_six_models_take_few_screens_until_they_are_opened(
    validated: list[tuple[Bundle, Validation]], browser: Any, tmp_path: Path, width: int
) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(report_html(validated))
    page = browser.new_page(viewport={"width": width, "height": SCREEN})
    page.goto(path.as_uri())
    assert page.locator("details[open]").count() == 0
    assert page.evaluate("document.documentElement.scrollHeight") < 4 * SCREEN
    assert page.evaluate(BROKEN) == []
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(BROKEN) == []
    assert page.evaluate(AMBIGUOUS) == []
    page.close()


def test_what_failed_is_open(validated: list[tuple[Bundle, Validation]]) -> None:
    (bundle, validation), *others = validated
    *rows, last = validation.rows  # of the loop
    rows.append(last.model_copy(update={"status": "fail", "reason": "it is off"}))
    failing = validation.model_copy(update={"rows": tuple(rows)})
    text = report_html([(bundle, failing), *others]).decode()
    openings = [line for line in text.splitlines() if line.startswith("<details")]
    assert openings[0] == '<details class="loops" open>'
    assert [line for line in openings[1:] if "open" in line] == ["<details open>"]
    assert '<details class="loops">' in report_html(others).decode()


def test_a_note_on_all_models_is_said_once_and_a_free_run_apart_from_it(
    validated: list[tuple[Bundle, Validation]],
) -> None:
    run = FreeRun(steps=9, first_difference=7, tie=False, note="0.5, not 0.25", passed=True)
    validations = []
    for (_, validation), found in zip(validated, (run, None), strict=False):
        update = {"note": "computes in bfloat16", "free_run": found}
        row = validation.rows[0].model_copy(update=update)
        validations.append(validation.model_copy(update={"rows": (row,)}))
    first, second = (validation.model for validation in validations)
    assert [(one.models, one.text) for one in remarks(validations)] == [
        ((first, second), "computes in bfloat16"),
        ((first,), "free run leaves PyTorch's at step 7: 0.5, not 0.25"),
    ]
    assert len(remarks(validations, free_runs=False)) == 1
