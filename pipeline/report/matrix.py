"""The matrix of a validation: a line for each runtime, with its row for each model."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.validate import Row, Validation


@dataclass(frozen=True)
class MatrixLine:
    """A runtime on a provider, and its row for each model; None if that model has none."""

    runtime: str
    provider: str
    rows: tuple[Row | None, ...]

    @property
    def label(self) -> str:
        """The runtime, and the provider unless it is the CPU."""
        return self.runtime if self.provider == "cpu" else f"{self.runtime}, {self.provider}"


def matrix(validations: Sequence[Validation], loops: bool = False) -> list[MatrixLine]:
    """One line for each runtime and provider that ran, in the order of the rows.

    Its rows are those of the models themselves, or of the graphs with the ``loops`` inside.
    """
    found = {
        ((row.runtime, row.provider), index): row
        for index, validation in enumerate(validations)
        for row in validation.rows
        if (row.graph != "model") == loops and row.status != "not run"
    }
    places = dict.fromkeys(place for place, _ in found)
    count = range(len(validations))
    return [MatrixLine(*place, tuple(found.get((place, i)) for i in count)) for place in places]
