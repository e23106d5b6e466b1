"""A module to try exporters on, and its inputs at any sizes of its dynamic axes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.network_tensors import BATCH, TIME

Sizes = dict[str, int]
Axes = dict[str, dict[int, str]]

_SEED = 20_261_126


@dataclass(frozen=True)
class Slot:
    """The shape of an input or an output, in which a ``str`` is a dynamic axis.

    An input holds normal numbers, or integers from ``low`` to ``below``, which is ``time`` for
    lengths of sequences.
    """

    shape: tuple[int | str, ...]
    below: int | str = 0
    low: int = 0

    @property
    def axes(self) -> dict[int, str]:
        """The dynamic axes by their place."""
        return {place: axis for place, axis in enumerate(self.shape) if isinstance(axis, str)}

    def draw(self, sizes: Sizes, generator: torch.Generator) -> Tensor:
        """A random tensor with dynamic axes of these ``sizes``."""
        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in self.shape]
        if not self.below:
            return torch.randn(shape, generator=generator)
        below = self.below if isinstance(self.below, int) else sizes[self.below] + 1
        return torch.randint(self.low, below, shape, generator=generator)


@dataclass(frozen=True)
class Subject:
    """A module to be exported, its inputs, named like the arguments of ``forward``, and outputs."""

    what: str
    make: Callable[[], nn.Module]
    inputs: dict[str, Slot]
    outputs: dict[str, Slot]

    def module(self) -> nn.Module:
        """The module with seeded weights, in ``eval()``, as it comes out of a training."""
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(_SEED)
            return self.make().eval()

    def draw(self, batch: int, time: int) -> tuple[Tensor, ...]:
        """Seeded inputs of these sizes; no state is zero."""
        generator = torch.Generator().manual_seed(_SEED + 1000 * batch + time)
        sizes = {BATCH: batch, TIME: time}
        return tuple(slot.draw(sizes, generator) for slot in self.inputs.values())

    @property
    def axes(self) -> Axes:
        """The dynamic axes of each input and output."""
        return {name: slot.axes for name, slot in (self.inputs | self.outputs).items()}
