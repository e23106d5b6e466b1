"""AutoETS and AutoARIMA of statsforecast, as baselines that a network is scored beside.

R. J. Hyndman and Y. Khandakar, Automatic time series forecasting: the forecast package for R,
Journal of Statistical Software 27 (2008), is where both searches are from. A model is fitted once,
to the steps just before the test part, and keeps its parameters; then it forecasts from every place
that the network forecasts from, with everything before that place as its history. A target is
forecast from its own history alone.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.contract.records import Baseline
from pipeline.data import Series
from pipeline.errors import MalformedError

NAMES = ("AutoETS", "AutoARIMA")
FITTED = 1000  # most steps that a model is fitted to
LONGEST = 10_000  # steps of the longest series that models are scored on
_LONGEST_SEASON = 24  # of a model; a longer one is taken out by the difference to the season before

Values = NDArray[np.float64]


def are_installed() -> bool:
    """Whether statsforecast is installed."""
    return find_spec("statsforecast") is not None


def forecasts(
    name: str, column: Values, start: int, season: int, origins: NDArray[np.int64], steps: int
) -> tuple[Values, Values]:
    """Forecasts of the series ``column`` ``[time]``: of each step from ``start`` on by those before
    it, ``[time - start]``, and of ``steps`` steps from every origin, ``[origins, steps]``.

    ``name`` is one of :data:`NAMES`.

    Raises:
        ImportError: statsforecast is not installed.
        MalformedError: a forecast is not finite.
    """
    from statsforecast import models

    begin, lag = _begin(start, season)
    known = column[begin:] - column[begin - lag : len(column) - lag] if lag else column[begin:]
    period = season if season <= min(_LONGEST_SEASON, (start - begin) // 2) else 1
    model = getattr(models, name)(season_length=period).fit(known[: start - begin])

    def ahead(place: int, count: int) -> Values:
        # The fitted values of a model would be quicker, but those of an ARIMA are the value less
        # its standardized residual, and so know a little of the value that they should forecast.
        return np.asarray(model.forward(y=known[: place - begin], h=count)["mean"])

    one = np.concatenate([ahead(place, 1) for place in range(start, len(column))])
    free = np.stack([ahead(int(origin), steps) for origin in origins])
    if lag:
        one = one + column[start - lag : len(column) - lag]
        for step in range(steps):
            before = column[origins + step - lag] if step < lag else free[:, step - lag]
            free[:, step] += before
    if not (np.isfinite(one).all() and np.isfinite(free).all()):
        raise MalformedError(f"{name} gives forecasts that are not finite")
    return one, free


def _begin(start: int, season: int) -> tuple[int, int]:
    """The first step that is fitted to, and the season that is taken out by differences, or 0."""
    lag = season if _LONGEST_SEASON < season <= start // 2 else 0
    return max(0, start - FITTED, lag), lag


def baseline(name: str, data: Series, work: Callable[..., Any]) -> Baseline:
    """The errors of the model ``name`` on the test part of ``data``.

    ``work`` calls :func:`forecasts` with the arguments that it is given, and may do so in another
    process; whatever it raises is raised.
    """
    from pipeline.train.scores import errors_of, free_runs_of

    start, (origins, steps) = data.validation_end, free_runs_of(data)
    values = data.values[:, : data.targets].astype(np.float64)
    made = [
        work(forecasts, name, column, start, data.season, origins, steps) for column in values.T
    ]
    one, free = (np.stack(parts, axis=-1) for parts in zip(*made, strict=True))
    truth = values[origins[:, None] + np.arange(steps)]
    return Baseline(
        name=name,
        fitted_steps=start - _begin(start, data.season)[0],
        one_step=errors_of(data, one - values[start:]),
        free_run=errors_of(data, free - truth),
    )
