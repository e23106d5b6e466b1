"""Windows of the data: in random order for training, in order for whole-sequence networks."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.model import Network

_AT_ONCE = 1024  # windows that a network reads at once, to bound memory


@dataclass(frozen=True)
class Windows:
    """Windows of ``window`` steps and the step after each, over a training part of ``length``."""

    length: int
    window: int
    batch_size: int
    seed: int

    @property
    def stride(self) -> int:
        """Steps from one window to the next."""
        return max(1, self.window // 8)

    @property
    def count(self) -> int:
        """The number of windows in an epoch."""
        return len(range(0, self.length - self.window - self.stride + 1, self.stride)) or 1

    @property
    def batches(self) -> int:
        """The number of batches in an epoch."""
        return -(-self.count // self.batch_size)

    def places(self, epoch: int, first: int = 0) -> Iterator[Tensor]:
        """Every window once, as int64 ``[batch, window + 1]`` of steps, from batch ``first`` on.

        Where the grid of windows begins is random, and so is their order.
        """
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        room = self.length - 1 - self.window - (self.count - 1) * self.stride
        shift = int(torch.randint(0, room + 1, (), generator=generator))
        order = torch.randperm(self.count, generator=generator) * self.stride + shift
        for batch in range(first, self.batches):
            starts = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield starts[:, None] + torch.arange(self.window + 1)


def after_windows(
    network: Network, sequence: Tensor, window: int, start: int, stride: int = 1
) -> Iterator[Tensor]:
    """Yield the outputs of ``network`` for every ``stride``-th step from ``start``.

    It reads the ``window`` steps before, and nothing later; ``start`` is at least ``window``.
    ``sequence`` is ``[time, …]``; the parts that come, in order, are ``[some, outputs]``.
    """
    windows = sequence[start - window : -1].unfold(0, window, 1).movedim(-1, 1)[::stride]
    for some in windows.split(_AT_ONCE):
        output, _ = network(inputs_of(network, some), network.zero_state(len(some)))
        yield output[:, -1]


def inputs_of(network: Network, values: Tensor) -> Tensor:
    """``values`` on the device of ``network``, with code points as int64."""
    values = values.to(network.head.weight.device)
    return values if values.is_floating_point() else values.long()
