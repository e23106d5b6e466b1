"""A forecast from a history, and samples of how it may go."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.contract import Manifest
from pipeline.errors import MalformedError, UsageError
from pipeline.run.graph import Graph
from pipeline.signature import FORECAST, HISTORY, NOISE, PATHS, STEPS

QUANTILES = (0.1, 0.5, 0.9)
_MOST = 50_000_000  # numbers of a forecast and its samples; quantiles need them all at once


@dataclass(frozen=True)
class Forecast:
    """What comes after a history, in raw units; ``columns`` names the targets.

    ``history`` is ``[time, targets]``, ``values`` ``[steps, targets]`` and ``paths``
    ``[samples, steps, targets]``.
    """

    columns: tuple[str, ...]
    history: NDArray[np.float32]
    values: NDArray[np.float32]
    paths: NDArray[np.float32]

    @property
    def quantiles(self) -> NDArray[np.float64] | None:
        """Those of :data:`QUANTILES` over the samples ``[3, steps, targets]``, if there are any."""
        if not len(self.paths):
            return None
        quantiles: NDArray[np.float64] = np.quantile(self.paths.astype(float), QUANTILES, axis=0)
        return quantiles


def width_of(graph: Graph) -> int:
    """How many columns the model reads, and forecasts."""
    [width] = [spec.shape[-1] for spec in graph.inputs if spec.name == HISTORY]
    assert isinstance(width, int)
    return width


def check_request(manifest: Manifest, steps: int, samples: int, width: int) -> None:
    """Refuse what cannot be forecast, before anything is read.

    Raises:
        UsageError: nobody knows how far to spread samples, or there are too many numbers.
    """
    if samples and manifest.spread is None:
        raise UsageError(
            f"samples {samples}: nobody knows how far the forecasts of {manifest.name} miss, since "
            "its weights were imported; leave samples out"
        )
    if (numbers := steps * (1 + samples) * width) > _MOST:
        raise UsageError(
            f"steps {steps} and samples {samples} are {numbers:,} numbers, over {_MOST:,}; give "
            "fewer"
        )


def forecast(
    graph: Graph,
    columns: tuple[str, ...],
    history: NDArray[np.float32],
    steps: int,
    samples: int,
    rng: np.random.Generator,
) -> Forecast:
    """What comes after ``history`` ``[time, targets]``, which has a step at least.

    ``graph`` is the one with the loop. The noise of sample i is
    ``rng.standard_normal((samples, steps), float32)[i]``.

    Raises:
        MalformedError: the forecast leaves what float32 can hold.
    """
    assert graph.state is not None
    feeds = {
        HISTORY: history[None],
        STEPS: np.array(steps),
        NOISE: rng.standard_normal((1, samples, steps), np.float32),
        graph.state.input: graph.initial_state(),
    }
    values, paths = (output[0] for output in graph.call(feeds, [FORECAST, PATHS]))
    together = np.concatenate([values[None], paths])
    endless = np.flatnonzero(~np.isfinite(together).all(axis=(0, 2)))
    if endless.size:
        raise MalformedError(
            f"the forecast of {graph.name} leaves what float32 can hold at step {endless[0] + 1}; "
            "give fewer steps"
        )
    return Forecast(columns, history, values, paths)
