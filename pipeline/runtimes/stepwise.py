"""A model file of fixed sizes, called piece by piece as if its axes were dynamic.

Converters for phones give step graphs: one step of one stream. The rows of a batch do not depend on
each other, and the state that a step returns goes into the next one. So calls of any size are made
of such steps, and what comes out is what the contract promises.
"""

from collections.abc import Callable, Mapping

import numpy as np

from pipeline.contract.law import Array
from pipeline.contract.tensors import Axis, Contract, Tensors
from pipeline.runtimes.base import Facts, Runtime
from pipeline.verify import chained


def step_sizes(contract: Contract, axes: Mapping[str, Axis]) -> dict[str, int]:
    """The sizes of the axes in a step graph: the smallest piece of a sequence, of one stream.

    Raises:
        ValueError: a model with these axes cannot be called step by step; says why.
    """
    if contract.time is not None and not contract.states:
        raise ValueError("it reads whole sequences, of which there are no steps")
    sizes = {}
    for name, axis in axes.items():
        sizes[name] = axis.multiple
        if axis.role == "size":
            raise ValueError(f"its axis {name} may have any size, and has one in a step graph")
        if not axis.allows(axis.multiple):
            raise ValueError(f"its axis {name} may not be {axis.multiple}, as in a step graph")
    return sizes


class Stepwise(Runtime):
    """A runtime on a file whose axes have the ``sizes``, called as ``contract`` says."""

    def __init__(self, runtime: Runtime, contract: Contract, sizes: Mapping[str, int]) -> None:
        facts = Facts.of(runtime)
        self.format, self.name = facts.format, facts.name
        self.provider, self.home = facts.provider, facts.home
        self.precision, self.note = facts.precision, facts.note
        self.runtime, self.contract, self.sizes = runtime, contract, sizes

    @classmethod
    def opened(
        cls, opener: Callable[[], Runtime], contract: Contract, sizes: Mapping[str, int]
    ) -> "Stepwise":
        """The runtime of ``opener``, called so; it is opened where this is called."""
        return cls(opener(), contract, sizes)

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """A call of any size: each stream from its state on, step after step."""
        batch = self.contract.batch
        step = 1 if batch is None else self.sizes[batch]
        rows = self.contract.size(batch, inputs)
        streams = [
            self._stream(self.contract.rows(inputs, range(row, row + step)))
            for row in range(0, rows, step)
        ]
        joined = self.contract.joined(streams, batch)
        return [np.asarray(joined[spec.name], order="C") for spec in self.contract.outputs]

    def _stream(self, inputs: Tensors) -> Tensors:
        time = self.contract.time
        start = {before: inputs[before] for before, _ in self.contract.states}
        data = {spec.name: inputs[spec.name] for spec in self.contract.data_inputs}
        calls: tuple[Tensors, ...] = (data,)
        if time is not None:
            step = self.sizes[time]
            calls = self.contract.cut(data, [step] * (self.contract.size(time, data) // step))
        return self.contract.joined(chained(self.runtime, self.contract, calls, start), time)
