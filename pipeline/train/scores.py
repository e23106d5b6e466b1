"""The scores of a network in interpretable units, beside those of baselines without a network."""

import math
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.contract.records import Coverage, Errors, SeriesScores, TextScores
from pipeline.data import Series, Text
from pipeline.model import CodePointTable, Network
from pipeline.train.ahead import WHOLE, Sample, one_step, streamed
from pipeline.train.intervals import MOST_ORIGINS, free_run_coverage, one_step_coverage
from pipeline.train.ngrams import ngram_bits

FREE_RUN = 100  # steps that a forecast goes on without seeing the truth
_ORIGINS = 10  # steps between the origins of two free runs
_ORIGINS_AT_ONCE = (
    1024  # free runs side by side, to bound memory; of a long series there are no more
)
_LEAD = 1024  # steps of a long series that a free run reads before it goes on


def score(network: Network, data: Series | Text, window: int = 64) -> SeriesScores | TextScores:
    """The scores of a network on the part of ``data`` that is kept for it.

    A network of whole sequences reads ``window`` steps at a time, or all of the training part.
    Of long data a sample is scored, as :mod:`pipeline.train.ahead` says, and free runs start from
    1,024 origins at most; what needs no network is scored on the same steps.
    """
    network = network.eval()
    with torch.inference_mode():
        if isinstance(data, Text):
            return _score_text(network, data, min(window, data.train_length))
        return _score_series(network, data, min(window, data.train_end - 1))


def _score_series(network: Network, data: Series, window: int) -> SeriesScores:
    values = data.values[:, : data.targets].astype(np.float64)
    start, season = data.validation_end, data.season
    parts = one_step(network, torch.from_numpy(data.values), data.train_end, window)
    places, output = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    off, tested = output.astype(np.float64) - values[places], places >= start
    test = places[tested]

    errors = partial(errors_of, data)
    origins, free_steps = free_runs_of(data)
    ahead = origins[:, None] + np.arange(free_steps)  # [origins, steps] of the truth
    seasonal = origins[:, None] - season + np.arange(free_steps) % season
    free = inside = None
    spread = tuple(map(float, off[~tested].std(axis=0)))
    if data.values.shape[1] == data.targets:
        if network.tensors.has_state:
            first, state = at_origins(network, data.values, origins)
            run = free_run(network, first, state, free_steps)
            some = slice(None, None, -(-len(origins) // MOST_ORIGINS))
            given = (network, first[some], state[some], values[ahead[some]])
            inside = free_run_coverage(*given, spread)
        else:
            run = _sliding_free_run(network, data.values, origins, free_steps, window)
        free = errors(run - values[ahead])
    return SeriesScores(
        one_step=errors(off[tested]),
        one_step_persistence=errors(values[test - 1] - values[test]),
        one_step_seasonal=errors(values[test - season] - values[test]),
        free_run=free,
        free_run_persistence=errors(values[origins - 1][:, None] - values[ahead]),
        free_run_seasonal=errors(values[seasonal] - values[ahead]),
        free_run_steps=free_steps,
        residual_std=spread,
        coverage=Coverage(one_step=one_step_coverage(off[tested], spread), free_run=inside),
    )


def errors_of(data: Series, difference: NDArray[np.float64]) -> Errors:
    """The errors of forecasts of ``data`` whose difference from it is ``[…, targets]``."""
    maes = [np.abs(difference[..., target]).mean() for target in range(data.targets)]
    return Errors(
        mae=float(np.mean(maes)),
        rmse=float(np.sqrt((difference**2).mean())),
        mase=float(np.mean(np.divide(maes, data.scales))),
    )


def free_runs_of(data: Series) -> tuple[NDArray[np.int64], int]:
    """The origins of the free runs in the test part of ``data``, and the steps of each."""
    length, start = len(data.values), data.validation_end
    steps = data.horizon or min(FREE_RUN, length - start)
    origins = np.arange(start, length - steps + 1, _ORIGINS)
    if length > WHOLE:
        origins = origins[:: -(-len(origins) // _ORIGINS_AT_ONCE)]
    return origins, steps


def free_run(network: Network, first: Tensor, state: Tensor, steps: int) -> NDArray[np.float64]:
    """Forecasts of ``steps`` values from every origin, fed back; ``[origins, steps, targets]``.

    ``first`` is the first of them, ``[origins, 1, targets]``, and ``state`` the state after it.
    """
    x, forecast = first, [first]
    for _ in range(steps - 1):
        x, state = network(x, state)
        forecast.append(x)
    return torch.cat(forecast, dim=1).double().numpy()


def at_origins(
    network: Network, values: NDArray[np.float32], origins: NDArray[np.int64]
) -> tuple[Tensor, Tensor]:
    """The first forecast from every origin, ``[origins, 1, targets]``, and the state after it."""
    sequence = torch.from_numpy(values)
    if len(sequence) > WHOLE:
        first = Sample(torch.from_numpy(origins), size=1, lead=min(_LEAD, int(origins[0])))
        *_, last = streamed(network, sequence, first)
        return last
    inputs, outputs, states = sequence[None], [], []
    done, state = 0, network.zero_state(1)
    for origin in origins:  # one pass through the history, stopping at every origin
        output, state = network(inputs[:, done:origin], state)
        done = int(origin)
        outputs.append(output[:, -1:])
        states.append(state)
    return torch.cat(outputs), torch.cat(states)


def _sliding_free_run(
    network: Network,
    values: NDArray[np.float32],
    origins: NDArray[np.int64],
    steps: int,
    window: int,
) -> NDArray[np.float64]:
    """A free run of whole sequences: what is forecast goes into the next window."""
    ends = []
    for some in np.array_split(origins, -(-len(origins) // _ORIGINS_AT_ONCE)):
        x = torch.from_numpy(values[some[:, None] + np.arange(-window, 0)])
        for _ in range(steps):
            output, _ = network(x[:, -window:], network.zero_state(len(x)))
            x = torch.cat([x, output[:, -1:]], dim=1)
        ends.append(x[:, window:])
    return torch.cat(ends).double().numpy()


def _score_text(network: Network, data: Text, window: int) -> TextScores:
    assert network.vocabulary is not None
    # A network that carries a state starts with the validation part, and so is told its first
    # character; one of whole sequences is asked for that too, from the window before it.
    before, start = (0, 1) if network.tensors.has_state else (window, window)
    points = torch.from_numpy(data.points)[data.train_length - before :]
    table = CodePointTable(network.vocabulary)
    nats, hits, count = 0.0, 0, 0
    for places, logits in one_step(network, points, start, window):
        targets = table(points[None, places]).long()[0]
        nats += float(functional.cross_entropy(logits, targets, reduction="sum"))
        hits += int((logits.argmax(dim=1) == targets).sum())
        count += len(targets)
    loss = nats / count
    return TextScores(
        loss=loss,
        bits_per_character=loss / math.log(2),
        accuracy=hits / count,
        ngram_bits=ngram_bits(data),
    )
