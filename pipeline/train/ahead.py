"""One-step-ahead outputs of a network on a validation or test part.

A part of up to 131,072 steps is evaluated whole. From a longer one, an evenly spread sample is
taken, so that time and memory are bounded for any length: 16 stretches of 8,192 steps, or 16,384
windows for networks of whole sequences.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.model import Network
from pipeline.train.windows import after_windows, inputs_of

STRETCHES = 16
WHOLE = 2**17  # most steps of a part that is evaluated whole
_WINDOWS = 2**14  # steps sampled from a longer part for networks of whole sequences
_LEAD = 1024  # steps that are read before a stretch to fill the state
_CHUNK = 4096  # most steps computed at once
_NUMBERS = 2**23  # most numbers in the widest tensor of a chunk


@dataclass(frozen=True)
class Sample:
    """Stretches of ``size`` steps from each of ``starts``, each after ``lead`` steps of context.

    ``lead`` is at least 1, because the output for a step comes from the steps before it.
    """

    starts: Tensor
    size: int
    lead: int

    @property
    def places(self) -> Tensor:
        """The indices of the steps, int64 ``[stretches, size]``."""
        return self.starts[:, None] + torch.arange(self.size)


def stretches(start: int, end: int, lead: int) -> Sample:
    """16 evenly spread stretches of the steps from ``start`` to ``end``; fewer if steps are fewer.

    If ``end - start`` is at most ``WHOLE``, they cover all steps but fewer than 16 at the end.
    """
    count = min(STRETCHES, end - start)
    length = (end - start) // count
    return Sample(start + torch.arange(count) * length, min(length, WHOLE // STRETCHES), lead)


def sample(start: int, end: int) -> Sample:
    """The steps from ``start`` to ``end``, with all earlier ones as context; stretches of them if
    ``end`` is beyond ``WHOLE``."""
    if end <= WHOLE:
        return Sample(torch.tensor([start]), end - start, lead=start)
    return stretches(max(start, _LEAD), end, _LEAD)


def streamed(network: Network, sequence: Tensor, sample: Sample) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the outputs of ``network`` for the steps of ``sample``, and the state after each chunk.

    ``sequence`` is ``[time, …]``; outputs come in order, in chunks ``[stretches, some, …]``.
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
    """Yield the outputs of ``network`` for each step of ``sequence`` from ``start``, or a sample.

    A network with a state reads everything before a step; a network of whole sequences reads the
    ``window`` steps before it. Each chunk has the indices of its steps, int64 ``[some]``, and their
    outputs, ``[some, outputs]``.
    """
    end = len(sequence)
    if network.tensors.has_state:
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
