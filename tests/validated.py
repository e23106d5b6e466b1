"""Validations of tiny models, and what tests change in them."""

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from tiny import validation_of

from pipeline.bundle import Bundle
from pipeline.validate import Validation

Validated = tuple[Bundle, Validation]


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


@pytest.fixture(scope="session")
def validated(tiny_bundle: Callable[[str], Bundle]) -> list[Validated]:
    bundles = [tiny_bundle(name) for name in ("sine-lstm", "char-gru")]
    return [(bundle, validation_of(bundle)) for bundle in bundles]


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
