"""Data frames: the history is read from one, and the forecast is returned as one, with dates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.clock import are_times
from pipeline.data.tables import BARE, require_distinct
from pipeline.errors import MalformedError, UsageError
from pipeline.run.history import DataSource, History, history_of
from pipeline.run.series import QUANTILES, Forecast

PLACE = Path("the history")  # its name in messages
_HEAD = 3  # labels of an index that are tested for being times


def read_frame(frame: Any, source: DataSource, width: int) -> tuple[History, pd.Index | None]:
    """The history in a frame, and its index if that holds the times.

    ``frame`` is a DataFrame or a Series of pandas, an object with ``to_pandas`` (as of Arrow and
    Polars), a dict of columns, or an array ``[time]`` or ``[time, columns]`` with the columns of
    training in their order.

    Raises:
        UsageError: a column that the model reads is missing, or there are too many columns.
        MalformedError: ``frame`` is no table, or as :func:`history_of`; rows count from 0.
    """
    table = _table(frame, source.columns)
    index = table.index
    table = table.set_axis(list(map(str, table.columns)), axis=1).reset_index(drop=True)
    time = None
    if len(index) and are_times(list(map(str, index[:_HEAD]))):
        time = str(index.name or "time")
        dates = index.to_timestamp() if isinstance(index, pd.PeriodIndex) else index
        table.insert(0, time, pd.Series(dates), allow_duplicates=True)
    require_distinct(list(table.columns), PLACE)
    return history_of(table, PLACE, source, width, time), None if time is None else index


def _table(frame: Any, columns: tuple[str, ...]) -> pd.DataFrame:
    if hasattr(frame, "to_pandas"):
        frame = frame.to_pandas()
    if isinstance(frame, pd.DataFrame):
        return frame
    if isinstance(frame, pd.Series):
        return frame.to_frame(BARE if frame.name is None else frame.name)
    try:
        if isinstance(frame, Mapping):
            return pd.DataFrame(dict(frame))
        array = np.asarray(frame)
        table = pd.DataFrame(array[:, None] if array.ndim == 1 else array)
    except (TypeError, ValueError) as error:
        raise MalformedError(
            f"{PLACE} is no table; give a DataFrame, a dict of columns of one length, or an array "
            "[time] or [time, columns]"
        ) from error
    if len(columns) == len(table.columns):
        return table.set_axis(list(columns), axis=1)
    return table.set_axis([BARE] if len(table.columns) == 1 else table.columns, axis=1)


def forecast_frame(made: Forecast, history: History, index: pd.Index | None) -> pd.DataFrame:
    """The forecast as a DataFrame with one row for each step.

    Times are in the index or in a column, as in the history; without times, the row numbers
    continue those of the history. Each target has a column of its name and, if there are samples,
    one for each quantile: ``load``, ``load 10%``, ``load 50%``, ``load 90%``.
    """
    columns: dict[str, Any] = {}
    quantiles = made.quantiles
    for place, name in enumerate(made.columns):
        columns[name] = made.values[:, place]
        if quantiles is not None:
            for share, quantile in zip(QUANTILES, quantiles, strict=True):
                columns[f"{name} {share:.0%}"] = quantile[:, place].astype(np.float32)
    steps = len(made.values)
    if history.times is None:
        start = len(history.values)
        return pd.DataFrame(columns, index=pd.RangeIndex(start, start + steps))
    following = history.times.following(steps)
    if index is None:
        table = pd.DataFrame(columns)
        table.insert(0, history.time, following)
        return table
    if isinstance(index, pd.PeriodIndex):
        following = following.to_period(index.freqstr)
    return pd.DataFrame(columns, index=following.rename(index.name))


def require_clock(history: History) -> None:
    """Raises UsageError for a history with times and only one row, which shows no step length."""
    if history.times is not None and history.times.clock is None:
        raise UsageError(
            f"{PLACE} has one row, so the time between two steps is unknown; give two rows or "
            "more, or leave the times out"
        )
