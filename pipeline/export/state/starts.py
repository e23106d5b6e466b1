"""What each state of a module begins with, and where the batch may be in it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pipeline.export.state.arguments import NamedArguments
from pipeline.export.state.layers import Chain, Key
from pipeline.export.state.pure import Fold, Pure, State, rows_are_equal
from pipeline.export.state.specs import unique


@dataclass(frozen=True)
class Start:
    """A state of which only is known where the batch may be in it: nowhere, in an axis, in a part.

    ``value`` is the initial one, at the batch of the example.
    """

    name: str
    next_name: str
    where: str
    value: Tensor
    layouts: tuple[int | Fold | None, ...]

    def laid_out(self, layout: int | Fold | None) -> State:
        """The state with the batch there."""
        value = layout.apart(self.value) if isinstance(layout, Fold) else self.value
        axis = layout.batch_axis if isinstance(layout, Fold) else layout
        value = value if axis is None else value.narrow(axis, 0, 1)
        return State(self.name, self.next_name, self.where, value.clone(), axis)


@dataclass(frozen=True)
class Starts:
    """The starts of the states of ``body``.

    ``axes`` are the dynamic axes of each argument; ``batch`` is the name of that of the batch, and
    ``size`` how large it is in the example. ``has_batch`` is False where no axis is so called.
    """

    body: nn.Module
    arguments: NamedArguments
    results: Sequence[str]
    axes: Mapping[str, Mapping[int, str]]
    batch: str
    size: int
    has_batch: bool

    def of(self, pure: Pure, values: Sequence[Tensor], chains: Mapping[Key, Chain]) -> list[Start]:
        """The states of ``pure``, in its order; ``values`` are the initial ones of those kept."""
        taken = set(self.arguments.names)
        starts = []
        places = [place for place, _ in pure.kept.states]
        for (place, number), value in zip(pure.kept.states, values, strict=True):
            several = places.count(place) > 1
            name = unique(f"{place.name}_{number}" if several else place.name, taken)
            owner = self.body.get_submodule(place.module)
            where = f"{'buffer' if place.key in owner._buffers else 'attribute'} '{place.name}'"
            where += f", tensor {number}" if several else ""
            after, axes = unique(f"next_{name}", taken), range(value.dim())
            starts.append(self._start(name, after, where, value, axes, folded=True))
        for (layer, _), chain in chains.items():
            given = chain.given or [torch.zeros_like(part) for part in chain.end]
            how = "a constant" if chain.given else "no"
            where = f"layer '{layer}', called with {how} state"
            for letter, value in zip("hc", given, strict=False):
                name = unique(f"{layer}_{letter}" if layer else letter, taken)
                after, of_rows = unique(f"next_{name}", taken), range(value.dim())[-2:-1]
                starts.append(self._start(name, after, where, value, of_rows, folded=True))
        for argument, result in pure.pairs:
            name, after = self.arguments.names[argument], self.results[result]
            where = f"argument '{name}' → result '{after}'"
            if after in self.arguments.names or after.startswith("output"):
                after = unique(f"next_{name}", taken)
            value = self._initial_argument(self.arguments.tensors[argument])
            told = [k for k, symbol in self.axes[name].items() if symbol == self.batch]
            start = self._start(name, after, where, value, range(value.dim()), folded=False)
            starts.append(replace(start, layouts=tuple(told)) if told else start)
        return starts

    def _start(
        self, name: str, after: str, where: str, value: Tensor, axes: Iterable[int], folded: bool
    ) -> Start:
        """A state; its batch may be along ``axes``, if its rows there are as many, and equal.

        If it may be ``folded``, the batch may also be a part of the last axis but one.
        """
        value, batch = value.detach(), self.size
        layouts: list[int | Fold | None] = [None]
        if self.has_batch:
            layouts += [k for k in axes if value.size(k) == batch and rows_are_equal(value, k)]
            axis = value.dim() - 2
            if folded and axis >= 0 and value.size(axis) % batch == 0 and value.size(axis) > batch:
                folds = [
                    Fold(axis, value.size(axis) // batch, outside) for outside in (True, False)
                ]
                layouts += [f for f in folds if rows_are_equal(f.apart(value), f.batch_axis)]
        return Start(name, after, where, value, tuple(layouts))

    def _initial_argument(self, value: Tensor) -> Tensor:
        """The initial value of a state that is an argument: the example's, unless it is random.

        It is not if all its numbers are the same, or the rows of a batch of several.
        """
        axes = [axis for axis in range(value.dim()) if value.size(axis) == self.size > 1]
        if value.numel() and bool((value == value.flatten()[0]).all()):
            return value
        equal = any(rows_are_equal(value, axis) for axis in axes)
        return value if equal else torch.zeros_like(value)  # 0 times a number may be -0
