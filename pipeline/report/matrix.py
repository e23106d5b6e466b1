"""The matrix of a validation: a line for each runtime, with its row for each model."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.validate import Row, Validation


@dataclass(frozen=True)
class MatrixLine:
    """A runtime on a provider, and its row for each model; None if that model has none."""

    label: str
    rows: tuple[Row | None, ...]


def matrix(validations: Sequence[Validation]) -> list[MatrixLine]:
    """One line for each runtime and provider that ran, in the order of the rows."""
    found = {
        (f"{row.runtime}, {row.provider}", index): row
        for index, validation in enumerate(validations)
        for row in validation.rows
        if row.graph == "model" and row.status != "not run"
    }
    labels = dict.fromkeys(label for label, _ in found)
    count = range(len(validations))
    return [MatrixLine(label, tuple(found.get((label, i)) for i in count)) for label in labels]
