"""Inputs of the sizes that a proof needs."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from pipeline.export.module.example import Example


class SizedInputs:
    """Random inputs like the example's, at other sizes of the axes ``batch`` and ``time``.

    Either symbol is None if the example has no such dynamic axis.
    """

    def __init__(self, example: Example, batch: str | None, time: str | None) -> None:
        self.example, self._rng = example, np.random.default_rng(0)
        self.batch_symbol = batch if batch in example.sizes else None
        self.time_symbol = time if time in example.sizes else None

    @property
    def batch(self) -> int:
        """The example's size of the batch; 1 if it has none."""
        return self.example.sizes[self.batch_symbol] if self.batch_symbol else 1

    @property
    def time(self) -> int:
        """The example's length; 1 if it has none."""
        return self.example.sizes[self.time_symbol] if self.time_symbol else 1

    def batch_of(self, size: int) -> int:
        """``size`` where the batch is dynamic, else the size that it has."""
        return size if self.batch_symbol else 1

    def time_of(self, size: int) -> int:
        """``size`` where the time is dynamic, else the size that it has."""
        return size if self.time_symbol else 1

    def at(self, batch: int, time: int, others: Mapping[str, int] | None = None) -> list[Tensor]:
        """Inputs of these sizes, where the axes are dynamic; ``others`` are those of other axes."""
        sizes = {**self.example.sizes, **(others or {})}
        if self.batch_symbol:
            sizes[self.batch_symbol] = batch
        if self.time_symbol:
            sizes[self.time_symbol] = time
        return self.example.at(sizes, self._rng)
