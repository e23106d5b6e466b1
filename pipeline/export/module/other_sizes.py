"""Random inputs of a module at sizes that its example has not."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, combinations, islice

import numpy as np
import torch
from torch import Tensor

from pipeline.contract.file_samples import Lengths
from pipeline.errors import MalformedError
from pipeline.export.module.example import Example, Sizes
from pipeline.network_tensors import BATCH

_CASES = 8
LONG = 333
"""Steps of one more case: sums and products over a sequence show there what they lose."""
_MOST = 1_000_000  # numbers of its inputs
_GUESSES = 100  # at the axes that were forgotten


class OtherSizes:
    """The inputs of each case, drawn with a fixed seed.

    Args:
        example: the inputs that the module was given.
        lengths: the inputs that hold lengths of sequences, by place.
        runs: calls the module in PyTorch; raises MalformedError where it fails.
        name: of the module.
    """

    def __init__(
        self,
        example: Example,
        lengths: Mapping[int, Lengths],
        runs: Callable[[Sequence[Tensor]], object],
        name: str,
    ) -> None:
        self.example, self.lengths, self.runs, self.name = example, lengths, runs, name
        self.short: list[Tensor] | None = None
        """The case whose longest sequence does not fill its axis, once it was given."""

    def __iter__(self) -> Iterator[list[Tensor]]:
        """The inputs of each case, as far as PyTorch can run them.

        Raises:
            MalformedError: an axis has no size but the example's at which PyTorch runs.
        """
        rng = np.random.default_rng(0)
        untried, refusal = set(self.example.sizes), None
        for sizes in self._sizes():
            tensors = self._drawn(sizes, rng)
            try:
                self.runs(tensors)
            except MalformedError as error:
                refusal = error
                continue
            untried -= {name for name, size in sizes.items() if size != self.example.sizes[name]}
            yield tensors
        if untried:
            axis = min(untried)
            forgotten = self._forgotten(axis, rng)
            cure = "pass check_inputs, or leave the axis out of dynamic_axes"
            if forgotten:
                places = " and ".join(f"axis {k} of '{name}'" for name, k in forgotten)
                added = ", ".join(f"'{name}': {{{k}: '{axis}'}}" for name, k in forgotten)
                cure = f"it runs where {places} is as long, so add {added} to dynamic_axes"
            raise MalformedError(
                f"{self.name} has a dynamic axis '{axis}' that PyTorch runs at no other size; "
                f"{cure} ({refusal})"
            )
        yield from self._long(rng)
        if self.lengths:
            self.short = self._drawn(
                {n: 3 * size for n, size in self.example.sizes.items()}, rng, 1
            )
            with suppress(MalformedError):
                self.runs(self.short)
                yield self.short

    def _long(self, rng: np.random.Generator) -> Iterator[list[Tensor]]:
        """A case of many steps, of the first sizes at which PyTorch runs.

        Its batch is not the example's: a module that keeps the size of its last batch, and asks
        whether it has changed, would be captured with the answer no.
        """
        own = {name: size + (name == BATCH) for name, size in self.example.sizes.items()}
        axes = [name for name, size in own.items() if name != BATCH and size < LONG]
        alone = [{**own, name: LONG} for name in axes]
        several = [{**own, name: -(-LONG // own[name]) * own[name]} for name in axes]
        longest = max((own[name] for name in axes), default=1)
        together = {name: -(-LONG // longest) * own[name] for name in axes}
        for sizes in (*alone, *several, {**own, **together}):
            with suppress(MalformedError):
                tensors = self._drawn(sizes, rng)
                if not axes or sum(y.numel() for y in tensors) > _MOST:
                    continue
                self.runs(tensors)
                yield tensors
                return

    def _forgotten(self, symbol: str, rng: np.random.Generator) -> list[tuple[str, int]]:
        """Fixed axes, by names of inputs, with which PyTorch runs at other sizes of ``symbol``."""
        size = self.example.sizes[symbol]
        candidates = [
            (place, axis)
            for place, tensor in enumerate(self.example.tensors)
            for axis in range(tensor.dim())
            if tensor.size(axis) == size and axis not in self.example.axes[place]
        ]
        some = chain.from_iterable(combinations(candidates, count) for count in range(1, 5))
        for further in islice(some, _GUESSES):
            wider = self.example.with_axes(further, symbol)
            with suppress(MalformedError):
                for other in (size + 1, 2 * size + 3):
                    tensors = wider.at({**wider.sizes, symbol: other}, rng)
                    self.runs(tensors)
                return [(self.example.names[place], axis) for place, axis in further]
        return []

    def _sizes(self) -> Iterator[Sizes]:
        own = self.example.sizes
        for k in range(_CASES if own else 2):
            sizes = {}
            for place, (name, size) in enumerate(own.items()):
                choices = (1, 7, 2 * size, 4, 13, 3 * size, 2, 32)
                sizes[name] = choices[(k + 3 * place) % len(choices)]
            yield sizes
        if len(own) > 1:  # axes that depend on one another
            yield from ({name: k * size for name, size in own.items()} for k in (2, 3))

    def _drawn(self, sizes: Sizes, rng: np.random.Generator, shorter: int = 0) -> list[Tensor]:
        """Random inputs; the longest sequence is ``shorter`` than its axis."""
        tensors = self.example.at(sizes, rng)
        for place, lengths in self.lengths.items():
            drawn = lengths.fill(tensors[place].shape, rng, sizes, shorter)
            tensors[place] = torch.from_numpy(drawn).to(tensors[place].dtype)
        return tensors
