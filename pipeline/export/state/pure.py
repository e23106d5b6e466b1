"""A module as a pure function of its inputs and states."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.errors import MalformedError
from pipeline.export.module.nested import tensors_of
from pipeline.export.state.arguments import NamedArguments
from pipeline.export.state.indices import TensorIndices
from pipeline.export.state.kept import Kept
from pipeline.export.state.layers import Calls, Chain, Key


@dataclass(frozen=True)
class State:
    """A state: its name among the inputs, that among the outputs, and where it lives.

    ``value`` is the initial one. Along ``axis``, the batch's, it has one row, which every row of a
    batch begins with; without such an axis, all rows share the state.
    """

    name: str
    next_name: str
    where: str
    value: Tensor
    axis: int | None = None

    def at(self, batch: int) -> Tensor:
        """The initial value for a batch of that size."""
        if self.axis is None:
            return self.value.clone()
        shape = list(self.value.shape)
        shape[self.axis] = batch
        return self.value.expand(shape).clone()


@dataclass(frozen=True)
class Fold:
    """An axis that holds ``count`` rows for each row of the batch, the batch being outside or not.

    A layer that runs along the time of every band of a spectrum has such a state.
    """

    axis: int
    count: int
    batch_outside: bool

    @property
    def batch_axis(self) -> int:
        """Where the batch is when the two are apart."""
        return self.axis if self.batch_outside else self.axis + 1

    def apart(self, y: Tensor) -> Tensor:
        """``y`` with an axis of the batch and one of the rows."""
        sizes = (-1, self.count) if self.batch_outside else (self.count, -1)
        return torch.unflatten(y, self.axis, sizes)

    def together(self, y: Tensor) -> Tensor:
        """``y`` with the two axes as one again."""
        return y.flatten(self.axis, self.axis + 1)


class Pure(nn.Module):
    """``forward(*inputs, *states)`` to ``(*outputs, *next_states)``, all of them tensors.

    States are, in this order, those that ``body`` keeps (``kept``), those of layers (``chains``,
    with the number of their parts), and its arguments and results in ``pairs`` of their numbers.
    After a call, ``body`` is as it was before. ``folds`` are, for states of the first two kinds,
    those axes that are apart outside of ``body``.
    """

    def __init__(
        self,
        body: nn.Module,
        arguments: NamedArguments,
        kept: Kept | None = None,
        chains: Sequence[tuple[Key, int]] = (),
        pairs: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__()
        self.body, self.arguments, self.kept = body, arguments, kept or Kept()
        self.chains, self.pairs = tuple(chains), tuple(pairs)
        count = len(self.kept.states) + sum(parts for _, parts in self.chains)
        self.folds: list[Fold | None] = [None] * count
        self.train(body.training)

    @property
    def inputs(self) -> list[int]:
        """The numbers of the arguments that are no states."""
        paired = {argument for argument, _ in self.pairs}
        return [k for k in range(len(self.arguments.names)) if k not in paired]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """One call; tensors are in the order that the class tells.

        Raises:
            MalformedError: a layer that has a state was not followed, since its loop became a scan.
        """
        calls, results, kept = self.called(*tensors)
        for layer, _ in (key for key, _ in self.chains if key not in calls):
            raise MalformedError(
                f"the state of '{layer}' begins in front of a loop over time; make it an argument "
                'and a result of forward, or take whole sequences, by states="none" or --state none'
            )
        leaves = tensors_of(results)
        paired = [result for _, result in self.pairs]
        outputs = [leaf for k, leaf in enumerate(leaves) if k not in paired]
        ends = [*kept, *(part for key, _ in self.chains for part in calls[key].end)]
        folded = zip(self.folds, ends, strict=True)
        states = [end if fold is None else fold.apart(end) for fold, end in folded]
        return (*outputs, *states, *(leaves[k] for k in paired))

    def called(
        self, *tensors: Tensor, every_layer: bool = False
    ) -> tuple[dict[Key, Chain], Any, list[Tensor]]:
        """The chains of calls of layers, the results of ``body``, and the next kept states.

        Only layers that have a state are followed, or ``every_layer``, to find which have.
        """
        given = iter(tensors)
        arguments: dict[int, Tensor] = {k: next(given) for k in self.inputs}
        folded = [(fold, next(given)) for fold in self.folds]
        states = iter([y if fold is None else fold.together(y) for fold, y in folded])
        kept = [next(states) for _ in self.kept.states]
        starts = {key: tuple(next(states) for _ in range(parts)) for key, parts in self.chains}
        arguments |= {argument: next(given) for argument, _ in self.pairs}
        args, kwargs = self.arguments.with_tensors([arguments[k] for k in sorted(arguments)])
        calls = Calls(self.body, None if every_layer else starts)
        with ExitStack() as block:
            read = block.enter_context(self.kept.lifted(self.body, kept))
            block.enter_context(calls.followed())
            if any(not state.is_floating_point() for state in kept):
                block.enter_context(TensorIndices())
            results = self.body(*args, **kwargs)
            return calls.chains, results, read()


def rows_are_equal(value: Tensor, axis: int) -> bool:
    """Whether ``value`` is the same all along ``axis``."""
    return torch.equal(value, value.narrow(axis, 0, 1).expand_as(value))
