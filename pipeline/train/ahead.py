"""One step ahead: what a network says of steps that it did not learn from.

A part of up to 131,072 steps is looked at whole. Of a longer one a sample stands for it, evenly
spread, so that time and memory have a bound however long the data is: 16 stretches of 8,192 steps,
or 16,384 windows for networks of whole sequences.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.model import Network
from pipeline.train.windows import after_windows, inputs_of

STRETCHES = 16
WHOLE = 2**17  # steps of a part that is still looked at whole
_WINDOWS = 2**14  # steps of a longer one, by networks that read a window for each
_LEAD = 1024  # steps before a stretch, which fill the state
_CHUNK = 4096  # steps computed at once
_NUMBERS = 2**23  # and numbers in the widest tensor of a chunk


@dataclass(frozen=True)
class Sample:
    """Stretches of ``size`` steps from each of ``starts`` on, and ``lead`` steps before each.

    ``lead`` is 1 or more: what is said of a step comes from those before it.
    """

    starts: Tensor
    size: int
    lead: int

    @property
    def places(self) -> Tensor:
        """Which steps these are, int64 ``[stretches, size]``."""
        return self.starts[:, None] + torch.arange(self.size)


def stretches(start: int, end: int, lead: int) -> Sample:
    """16 stretches of the steps from ``start`` to ``end``, evenly spread; fewer of fewer steps.

    They are all of it but for less than 16 steps at the end, where it is no longer than ``WHOLE``.
    """
    count = min(STRETCHES, end - start)
    length = (end - start) // count
    return Sample(start + torch.arange(count) * length, min(length, WHOLE // STRETCHES), lead)


def sample(start: int, end: int) -> Sample:
    """The steps from ``start`` to ``end`` after all before them, or stretches of a longer part."""
    if end <= WHOLE:
        return Sample(torch.tensor([start]), end - start, lead=start)
    return stretches(max(start, _LEAD), end, _LEAD)


def streamed(network: Network, sequence: Tensor, sample: Sample) -> Iterator[tuple[Tensor, Tensor]]:
    """What ``network`` says of the steps of ``sample``, and the state that it says it from.

    ``sequence`` is ``[time, …]``; the parts that come, in order, are ``[stretches, some, …]``.
    """
    lanes = len(sample.starts)
    before = sample.starts[:, None] + torch.arange(-sample.lead, sample.size - 1)
    width = lanes * max(network.config.hidden_size, network.head.out_features)
    state, missing = network.zero_state(lanes), sample.lead - 1
    for places in before.split(max(1, min(_CHUNK, _NUMBERS // width)), dim=1):
        output, state = network(inputs_of(network, sequence[places]), state)
        if output.size(1) > missing:
            yield output[:, missing:], state
        missing = max(0, missing - output.size(1))


def one_step(
    network: Network, sequence: Tensor, start: int, window: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """What ``network`` says of each step of ``sequence`` from ``start`` on, or of a sample.

    A network that carries a state reads all that comes before a step, one of whole sequences the
    ``window`` steps before it. The parts that come are the steps, int64 ``[some]``, and what is
    said of them, ``[some, outputs]``.
    """
    end = len(sequence)
    if network.signature.has_state:
        chosen, done = sample(start, end), 0
        for output, _ in streamed(network, sequence, chosen):
            places = chosen.places[:, done : done + output.size(1)]
            yield places.flatten(), output.flatten(0, 1)
            done += output.size(1)
    else:
        stride = 1 if end - start <= WHOLE else -(-(end - start) // _WINDOWS)
        steps = torch.arange(start, end, stride)
        for output in after_windows(network, sequence, window, start, stride):
            yield steps[: len(output)], output
            steps = steps[len(output) :]
