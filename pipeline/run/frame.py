"""Data frames: the history is read from one, and the forecast is returned as one, with dates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.contract.records import QUANTILES
from pipeline.data.clock import are_times, time_texts
from pipeline.data.frames import ID
from pipeline.data.tables import BARE, require_distinct
from pipeline.errors import MalformedError
from pipeline.run.history import DataSource, History, history_of
from pipeline.run.series import Forecast

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


def forecast_frame(made: Forecast, index: pd.Index | None) -> pd.DataFrame:
    """The forecast as a DataFrame with one row for each step.

    Times are in the index or in a column, as in the history, of which ``index`` is the index if
    that holds the times; without times, the row numbers continue those of the history. Each target
    has a column of its name and, if there are samples, one for each quantile: ``load``,
    ``load 10%``, ``load 50%``, ``load 90%``.
    """
    columns: dict[str, Any] = {}
    for place, name in enumerate(made.columns):
        columns |= _target_columns(made, place, name)
    if made.history.times is None:
        return pd.DataFrame(columns, index=made.times)
    if index is None:
        table = pd.DataFrame(columns)
        table.insert(0, made.history.time, made.times)
        return table
    times = made.times
    if isinstance(index, pd.PeriodIndex):
        times = times.to_period(index.freqstr)
    return pd.DataFrame(columns, index=times.rename(index.name))


def forecast_csv(made: Forecast) -> str:
    """The forecast as CSV in the long format, with one row for each step of each target.

    The columns are ``unique_id``, ``ds``, ``y`` and, if there are samples, ``y 10%``, ``y 50%`` and
    ``y 90%``. ``unique_id`` is the id of the history and, if there are several targets or no id,
    the name of the target.
    """
    parts = []
    for place, name in enumerate(made.columns):
        ids = [made.history.id] if made.history.id is not None else []
        ids += [name] if len(made.columns) > 1 or not ids else []
        part = pd.DataFrame(_target_columns(made, place, BARE))
        part.insert(0, "ds", time_texts(made.times))
        part.insert(0, ID, "/".join(ids))
        parts.append(part)
    written: str = pd.concat(parts).to_csv(index=False, lineterminator="\n")
    return written


def _target_columns(made: Forecast, place: int, name: str) -> dict[str, Any]:
    """The forecast of one target and its quantiles, by the names of their columns."""
    columns: dict[str, Any] = {name: made.values[:, place]}
    quantiles = made.quantiles
    if quantiles is not None:
        for share, quantile in zip(QUANTILES, quantiles, strict=True):
            columns[f"{name} {share:.0%}"] = quantile[:, place].astype(np.float32)
    return columns
