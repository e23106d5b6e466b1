"""A forecast from a history, and sample paths of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.contract import Manifest
from pipeline.contract.records import QUANTILES
from pipeline.errors import MalformedError, UsageError
from pipeline.network_tensors import FORECAST, HISTORY, NOISE, PATHS, STEPS
from pipeline.run.graph import Graph
from pipeline.run.history import History

if TYPE_CHECKING:
    import pandas as pd

_MOST = 50_000_000  # numbers of a forecast and its samples, which quantiles hold in memory


@dataclass(frozen=True)
class Forecast:
    """The forecast after ``history``, in raw units.

    ``values`` is ``[steps, targets]``, ``paths`` ``[samples, steps, targets]``, and ``times`` has
    the time of every step, or its row number, counted from the first row of the history on.
    """

    history: History
    values: NDArray[np.float32]
    paths: NDArray[np.float32]
    times: "pd.Index"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the targets."""
        return self.history.columns

    @property
    def quantiles(self) -> NDArray[np.float64] | None:
        """The :data:`QUANTILES` of the samples ``[3, steps, targets]``; None without samples."""
        if not len(self.paths):
            return None
        quantiles: NDArray[np.float64] = np.quantile(self.paths.astype(float), QUANTILES, axis=0)
        return quantiles


def width_of(graph: Graph) -> int:
    """The number of columns that the model reads and forecasts."""
    [width] = [spec.shape[-1] for spec in graph.contract.inputs if spec.name == HISTORY]
    assert isinstance(width, int)
    return width


def check_request(manifest: Manifest, steps: int, samples: int, width: int) -> None:
    """Make sure that the forecast can be made, before any data are read.

    Raises:
        UsageError: samples need a spread, which is unknown; or there are too many numbers.
    """
    if samples and manifest.spread is None:
        raise UsageError(
            f"samples {samples}: the spread of the errors of {manifest.name} is unknown, since its "
            "weights were imported; leave samples out"
        )
    if (numbers := steps * (1 + samples) * width) > _MOST:
        raise UsageError(
            f"steps {steps} and samples {samples} are {numbers:,} numbers, over {_MOST:,}; give "
            "fewer"
        )


def forecast(
    graph: Graph, history: History, steps: int, samples: int, rng: np.random.Generator
) -> Forecast:
    """Forecast ``steps`` steps after ``history``, which has at least one step.

    ``graph`` is the graph with the loop inside. The noise of sample i is
    ``rng.standard_normal((samples, steps), float32)[i]``.

    Raises:
        UsageError: the times are later than the year 9999.
        MalformedError: the forecast leaves the range of float32.
    """
    times = history.ahead(steps)
    feeds = {
        HISTORY: history.values[None],
        STEPS: np.array(steps),
        NOISE: rng.standard_normal((1, samples, steps), np.float32),
        **graph.initial(1),
    }
    values, paths = (output[0] for output in graph.call(feeds, [FORECAST, PATHS]))
    together = np.concatenate([values[None], paths])
    endless = np.flatnonzero(~np.isfinite(together).all(axis=(0, 2)))
    if endless.size:
        raise MalformedError(
            f"the forecast of {graph.name} leaves the range of float32 at step {endless[0] + 1}; "
            "give fewer steps"
        )
    return Forecast(history, values, paths, times)
