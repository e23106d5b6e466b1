"""How good a network is, in units that mean something, beside forecasts that need no network."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.contract.held_out import code_points
from pipeline.contract.records import Errors, SeriesScores, TextScores
from pipeline.data import Series, Text
from pipeline.model import CodePointTable, Network
from pipeline.train.windows import after_windows

FREE_RUN = 100  # steps that a forecast goes on without seeing the truth
_ORIGINS = 10  # steps between the origins of two free runs
_ORIGINS_AT_ONCE = 1024  # free runs of whole sequences side by side, to bound memory
_ORDERS = range(6)
_SMOOTHING = 0.1
_CHUNK = 4096  # time steps evaluated at once, to bound memory


def score(network: Network, data: Series | Text, window: int = 64) -> SeriesScores | TextScores:
    """The scores of a network on the part of ``data`` that is kept for it.

    A network of whole sequences reads ``window`` steps at a time, or all of the training part.
    """
    network = network.eval()
    with torch.inference_mode():
        if isinstance(data, Text):
            return _score_text(network, data, min(window, len(data.train)))
        return _score_series(network, data, min(window, data.train_end - 1))


def _score_series(network: Network, data: Series, window: int) -> SeriesScores:
    values = data.values[:, : data.targets].astype(np.float64)
    start, season = data.validation_end, data.season
    scales = [np.abs(np.diff(column)).mean() for column in values[: data.train_end].T]
    validated = _one_step(network, data.values, data.train_end, window)
    residuals = (validated - values[data.train_end :])[: start - data.train_end]
    predicted = validated[start - data.train_end :]

    def errors(difference: NDArray[np.float64]) -> Errors:
        maes = [np.abs(difference[..., target]).mean() for target in range(data.targets)]
        return Errors(
            mae=float(np.mean(maes)),
            rmse=float(np.sqrt((difference**2).mean())),
            mase=float(np.mean(np.divide(maes, scales))),
        )

    free_steps = data.horizon or min(FREE_RUN, len(values) - start)
    origins = np.arange(start, len(values) - free_steps + 1, _ORIGINS)
    ahead = origins[:, None] + np.arange(free_steps)  # [origins, steps] of the truth
    seasonal = origins[:, None] - season + np.arange(free_steps) % season
    free = None
    if data.values.shape[1] == data.targets:
        given = (network, data.values, origins, free_steps)
        run = free_run(*given) if network.signature.streams else _sliding_free_run(*given, window)
        free = errors(run - values[ahead])
    return SeriesScores(
        one_step=errors(predicted - values[start:]),
        one_step_persistence=errors(values[start - 1 : -1] - values[start:]),
        one_step_seasonal=errors(values[start - season : -season] - values[start:]),
        free_run=free,
        free_run_persistence=errors(values[origins - 1][:, None] - values[ahead]),
        free_run_seasonal=errors(values[seasonal] - values[ahead]),
        free_run_steps=free_steps,
        residual_std=tuple(map(float, residuals.std(axis=0))),
    )


def _one_step(
    network: Network, values: NDArray[np.float32], start: int, window: int
) -> NDArray[np.float64]:
    """Forecasts of ``values[start:]``, each from all before it or from a window of that."""
    sequence = torch.from_numpy(values)
    if network.signature.streams:
        parts = [*_carried_on(network, sequence)]
        return torch.cat(parts).double().numpy()[start - 1 :]
    return torch.cat([*after_windows(network, sequence, window, start)]).double().numpy()


def _carried_on(network: Network, sequence: Tensor) -> Iterator[Tensor]:
    """What ``network`` says of ``sequence[1:]``, each step from all before it."""
    state = network.zero_state(1)
    for chunk in sequence[None, :-1].split(_CHUNK, dim=1):
        output, state = network(chunk, state)
        yield output[0]


def free_run(
    network: Network, values: NDArray[np.float32], origins: NDArray[np.int64], steps: int
) -> NDArray[np.float64]:
    """Forecasts of ``steps`` values from every origin, fed back; ``[origins, steps, targets]``."""
    starts, state = [], network.zero_state(1)
    inputs = torch.from_numpy(values)[None]
    done = 0
    last = inputs[:, :1]
    for origin in origins:  # one pass through the history, stopping at every origin
        output, state = network(inputs[:, done:origin], state)
        done, last = int(origin), output[:, -1:]
        starts.append((last, state))
    x, state = (torch.cat(parts) for parts in zip(*starts, strict=True))
    forecast = [x]
    for _ in range(steps - 1):
        x, state = network(x, state)
        forecast.append(x)
    return torch.cat(forecast, dim=1).double().numpy()


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
    points = torch.from_numpy(code_points(data.content))
    first = len(data.train)
    if network.signature.streams:
        first += 1  # the first character that is read says nothing of itself
        parts = _carried_on(network, points[first - 1 :])
    else:
        parts = after_windows(network, points, window, first)
    targets = CodePointTable(network.vocabulary)(points[None, first:]).long()[0]
    nats, hits, start = 0.0, 0, 0
    for logits in parts:
        part = targets[start : start + len(logits)]
        nats += float(functional.cross_entropy(logits, part, reduction="sum"))
        hits += int((logits.argmax(dim=1) == part).sum())
        start += len(part)
    loss = nats / len(targets)
    return TextScores(
        loss=loss,
        bits_per_character=loss / math.log(2),
        accuracy=hits / len(targets),
        ngram_bits=ngram_bits(data),
    )


def ngram_bits(data: Text) -> tuple[float, ...]:
    """Bits per character of n-gram models with 0 to 5 characters of context, validation part.

    Counts of the training part with additive smoothing:
    ``p(c | context) = (n(context, c) + 0.1) / (n(context) + 0.1·V)``, V counting the unknown
    entry (C. D. Manning and H. Schütze, Foundations of Statistical NLP, 1999, section 6.2).
    """
    table = CodePointTable(data.vocabulary)
    indices = table(torch.from_numpy(code_points(data.content))).numpy().astype(np.int64)
    size, split = len(data.vocabulary) + 1, len(data.train)
    bits = []
    context = np.zeros_like(indices)  # which context stands before each position, numbered
    for order in _ORDERS:
        gram = np.unique(context * size + indices, return_inverse=True)[1]
        train = slice(order, split)
        n_context = np.bincount(context[train], minlength=context.max() + 1)[context[split:]]
        n_gram = np.bincount(gram[train], minlength=gram.max() + 1)[gram[split:]]
        p = (n_gram + _SMOOTHING) / (n_context + _SMOOTHING * size)
        bits.append(float(-np.log2(p).mean()))
        context = np.concatenate([[0], gram[:-1]])
    return tuple(bits)
