"""Every runtime on every model, as lines of a matrix."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.validate import Row, Validation


@dataclass(frozen=True)
class MatrixLine:
    """A runtime on a provider, and its row for each model; None where there is none."""

    label: str
    rows: tuple[Row | None, ...]


def matrix(validations: Sequence[Validation]) -> list[MatrixLine]:
    """One line per runtime and provider that ran, in the order in which they came."""
    found = {
        (f"{row.runtime}, {row.provider}", index): row
        for index, validation in enumerate(validations)
        for row in validation.rows
        if row.graph == "model" and row.status != "not run"
    }
    labels = dict.fromkeys(label for label, _ in found)
    count = range(len(validations))
    return [MatrixLine(label, tuple(found.get((label, i)) for i in count)) for label in labels]
