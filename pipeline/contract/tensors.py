"""The tensors of a model's contract: inputs, outputs, pairs of states, and the axes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pipeline.config import Line, Record
from pipeline.contract.law import Array

Tensors = dict[str, Array]  # by name


ElementType = Literal[
    "float16", "float32", "float64", "bool",
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
]  # fmt: skip


class Normal(Record):
    """Samples drawn from a normal distribution."""

    kind: Literal["normal"] = "normal"
    mean: float
    deviation: float = Field(gt=0)


class Integers(Record):
    """Samples drawn from the whole numbers ``least`` to ``most``, both included.

    ``most`` may be a dynamic axis: the numbers are then lengths, one of which is the size of that
    axis. ``descending`` sorts them.
    """

    kind: Literal["integers"] = "integers"
    least: int
    most: int | str
    descending: bool = False


class HeldOutData(Record):
    """Samples cut from the data of this tensor in ``held_out`` of the golden data."""

    kind: Literal["held out"] = "held out"


Sample = Annotated[Normal | Integers | HeldOutData, Field(discriminator="kind")]


class TensorSpec(Record):
    """One tensor of a contract; a ``str`` in ``shape`` is a dynamic axis.

    ``sample`` says how to draw an input; it is None for states and outputs.
    """

    name: str
    type: ElementType
    shape: tuple[int | str, ...]
    meaning: Line
    sample: Sample | None = None

    @property
    def form(self) -> tuple[str, str, tuple[int | str, ...]]:
        """Name, type and shape, without the meaning."""
        return self.name, self.type, self.shape

    @property
    def typed_shape(self) -> str:
        """Type and shape, as in ``float32 [batch, time, 1]``."""
        return f"{self.type} [{', '.join(map(str, self.shape))}]"

    @property
    def smallest_shape(self) -> tuple[int, ...]:
        """The shape in which every dynamic axis is 1."""
        return tuple(1 if isinstance(axis, str) else axis for axis in self.shape)

    def __str__(self) -> str:
        return f"{self.name} [{', '.join(map(str, self.shape))}]"


class StatePair(Record):
    """A state: the output ``output`` of one call is fed back as the input ``input`` of the next.

    ``initial`` is the value that all of its numbers have at first, or the name of the file that
    holds them. ``rows`` name the rows of a packed state, where it is one; of a row of h, the first
    ``h_columns`` are used, which are fewer than the shape says if h is projected.
    """

    input: str
    output: str
    initial: float | str = 0.0
    rows: tuple[Line, ...] | None = None
    h_columns: int | None = None


class Axis(Record):
    """A dynamic axis, and the sizes that it may have.

    Along ``batch``, rows do not depend on each other. Along ``time``, a sequence may be cut into
    several calls if there are states; each piece has a multiple of ``multiple`` steps.
    """

    role: Literal["batch", "time", "size"]
    smallest: int = Field(1, ge=1)
    largest: int | None = Field(None, ge=1)
    multiple: int = Field(1, ge=1)

    def allows(self, size: int) -> bool:
        """Whether the axis may have ``size``."""
        within = self.smallest <= size and (self.largest is None or size <= self.largest)
        return within and size % self.multiple == 0


@dataclass(frozen=True)
class Contract:
    """What a model promises about its tensors.

    ``states`` are pairs of an input and the output that is fed back to it in the next call.
    ``batch`` is the axis whose rows are independent of each other, and ``time`` the axis along
    which a sequence may be cut into several calls; either is None if no axis is known to be so.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    states: tuple[tuple[str, str], ...] = ()
    batch: str | None = None
    time: str | None = None

    @cached_property
    def data_inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs that are no states."""
        carried = {before for before, _ in self.states}
        return tuple(spec for spec in self.inputs if spec.name not in carried)

    @cached_property
    def data_outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs that are no states."""
        return tuple(spec for spec in self.outputs if spec.name not in self.next_states)

    @cached_property
    def next_states(self) -> frozenset[str]:
        """The names of the outputs that are states."""
        return frozenset(after for _, after in self.states)

    def carried(self, results: Mapping[str, Array]) -> Tensors:
        """The states that the next call is given, which are among the results of the last."""
        return {before: results[after] for before, after in self.states}

    def axis(self, symbol: str | None, name: str) -> int | None:
        """The index of the axis ``symbol`` in the tensor ``name``; None if it has no such axis.

        Raises:
            KeyError: there is no tensor of that name.
        """
        for tensor in (*self.inputs, *self.outputs):
            if tensor.name == name:
                return tensor.shape.index(symbol) if symbol in tensor.shape else None
        raise KeyError(name)

    def size(self, symbol: str | None, tensors: Mapping[str, Array]) -> int:
        """The size that the axis ``symbol`` has in ``tensors``; 1 if none of them has that axis."""
        axes = {name: self.axis(symbol, name) for name in tensors}
        return next((tensors[name].shape[at] for name, at in axes.items() if at is not None), 1)

    def cut(self, inputs: Mapping[str, Array], cuts: Sequence[int]) -> tuple[Tensors, ...]:
        """The inputs of a whole sequence cut along time into pieces of ``cuts`` steps."""
        ends = np.cumsum(cuts)

        def piece(start: int, end: int) -> Tensors:
            steps = slice(start, end)
            return self._along(self.time, inputs, lambda y, axis: y[(np.s_[:],) * axis + (steps,)])

        return tuple(piece(end - size, end) for size, end in zip(cuts, ends, strict=True))

    def rows(self, tensors: Mapping[str, Array], order: Sequence[int]) -> Tensors:
        """``tensors`` with the rows ``order`` of the batch, in that order."""
        return self._along(self.batch, tensors, lambda y, axis: y.take(order, axis))

    def joined(self, calls: Sequence[Tensors], symbol: str | None) -> Tensors:
        """Several calls joined to one: along the axis ``symbol``, or the last call's tensor if it
        does not have that axis."""
        return {
            name: last
            if (axis := self.axis(symbol, name)) is None
            else np.concatenate([call[name] for call in calls], axis)
            for name, last in calls[-1].items()
        }

    def named(self, outputs: Iterable[Array]) -> Tensors:
        """``outputs``, which are in the order of the contract, by name.

        Raises:
            ValueError: their number is not that of the contract.
        """
        return {spec.name: y for spec, y in zip(self.outputs, outputs, strict=True)}

    def _along(
        self,
        symbol: str | None,
        tensors: Mapping[str, Array],
        change: Callable[[Array, int], Array],
    ) -> Tensors:
        """``tensors``, with ``change`` applied to those that have the axis ``symbol``."""
        return {
            name: y if (axis := self.axis(symbol, name)) is None else change(y, axis)
            for name, y in tensors.items()
        }
