"""The matrix of a validation: a line for each runtime, with its row for each model."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.validate import Row, Validation


@dataclass(frozen=True)
class MatrixLine:
    """A runtime, and its row for each model; None if that model has none.

    The label names the provider too, unless all ran on the CPU.
    """

    label: str
    rows: tuple[Row | None, ...]


def matrix(validations: Sequence[Validation]) -> list[MatrixLine]:
    """One line for each runtime and provider that ran, in the order of the rows."""
    ran = [
        (index, row)
        for index, validation in enumerate(validations)
        for row in validation.rows
        if row.graph == "model" and row.status != "not run"
    ]
    only_cpu = all(row.provider == "cpu" for _, row in ran)
    found = {
        (row.runtime if only_cpu else f"{row.runtime}, {row.provider}", index): row
        for index, row in ran
    }
    labels = dict.fromkeys(label for label, _ in found)
    count = range(len(validations))
    return [MatrixLine(label, tuple(found.get((label, i)) for i in count)) for label in labels]
