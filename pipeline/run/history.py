"""The history that a forecast starts from: columns of a table, found as in training."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.config import SeriesSource
from pipeline.contract import Manifest
from pipeline.data.clock import Times, in_time
from pipeline.data.frames import ID, one_of_several, time_column
from pipeline.data.tables import BARE, listed, numbers, place
from pipeline.errors import MalformedError, UsageError, unknown


@dataclass(frozen=True)
class DataSource:
    """How training read its table: the columns in input order, the ids, the times, resampling."""

    columns: tuple[str, ...] = ()
    id: str | None = None
    time: str | None = None
    resample: str | None = None

    @classmethod
    def of(cls, manifest: Manifest) -> "DataSource":
        """The data source in ``manifest``; empty for a sine and for imported weights."""
        source = manifest.source
        if not isinstance(source, SeriesSource):
            return cls()
        return cls(source.columns, source.id, source.time, source.resample)


@dataclass(frozen=True)
class History:
    """The history of a forecast, ``values`` ``[steps, columns]`` in raw units.

    ``time`` is the name of the column of times, and ``times`` are its values; both are None if the
    history has no times. ``id`` is the id of the series; None if it has none.
    """

    columns: tuple[str, ...]
    values: NDArray[np.float32]
    time: str | None
    times: Times | None
    id: str | None = None

    def ahead(self, steps: int) -> pd.Index:
        """The times of the next ``steps`` steps; the row numbers, from 0, if there are no times.

        Raises:
            UsageError: the times are later than the year 9999.
        """
        if self.times is None:
            return pd.RangeIndex(len(self.values), len(self.values) + steps)
        return self.times.following(steps)


def history_of(
    table: pd.DataFrame,
    path: Path,
    source: DataSource,
    width: int,
    time: str | None = None,
    id: str | None = None,
) -> History:
    """The ``width`` columns that the model reads, found by their names in training or by order.

    ``time`` is the column of the times; if it is None, it is found as in training. ``id`` chooses
    one of several series, by its id in the column that training read, or as ``COLUMN=ID``.

    Raises:
        UsageError: a column that the model reads is missing, there are too many columns, no series
            has this ``id``, or there are times and only one row.
        MalformedError: there are no rows, several series, a cell without a number, or duplicate or
            uneven times; the message names the row.
    """
    table, id = _of_one_series(table, path, source, id)
    if time is None:
        time = time_column(table, source.time if source.time in table.columns else None)
    found = [name for name in table.columns if name not in (time, ID)]
    names = _matched(found, source.columns, width, path)
    if table.empty:
        raise MalformedError(f"{path} has no rows; give the steps before the forecast")
    values = pd.DataFrame({name: numbers(table[name], path) for name in names}, index=table.index)
    times = None
    if time is not None:
        values, times = _in_time(values, table[time], source.resample, path)
    missing = np.argwhere(values.isna().to_numpy())
    if missing.size:
        row, column = missing[0]
        raise MalformedError(
            f"{path}, {place(values.index[row])}, column '{names[column]}': the value is missing; "
            "write a number there, or remove all rows up to it"
        )
    return History(names, values.to_numpy(dtype=np.float32), time, times, id)


def _of_one_series(
    table: pd.DataFrame, path: Path, source: DataSource, id: str | None
) -> tuple[pd.DataFrame, str | None]:
    """The rows of the series ``id``, or of the only one there is, and its id if it has one."""
    column, is_named, _ = (source.id or "").partition("=")
    column = column if is_named and column in table.columns else ID
    if id is not None:
        named, is_named, value = id.partition("=")
        if is_named and named in table.columns:
            return one_of_several(table, id, path), value
        return one_of_several(table, f"{column}={id}" if column != ID else id, path), id
    if column not in table.columns:
        return table, None
    if table[column].nunique() > 1:
        raise MalformedError(
            f"{path}, column '{column}': there are {table[column].nunique()} series; give the rows "
            "of one, or choose it by its id"
        )
    return table, None if table.empty else str(table[column].iloc[0])


def _matched(found: list[str], wanted: tuple[str, ...], width: int, path: Path) -> tuple[str, ...]:
    if len(found) == width and (not wanted or (width == 1 and BARE in (found[0], wanted[0]))):
        return tuple(found)  # by order, as where a single column has no name
    if not wanted:
        raise UsageError(
            f"{path} has {len(found)} columns of numbers ({listed(found)}), and the model reads "
            f"{width}; give just those, in its order"
        )
    for name in wanted:
        if name not in found:
            raise unknown(f"column in {path}", name, found)
    return wanted


def _in_time(
    values: pd.DataFrame, times: pd.Series, resample: str | None, path: Path
) -> tuple[pd.DataFrame, Times]:
    """The rows in the order of their times, at even steps, resampled if training did so."""
    try:
        values, found, _ = in_time(values, times, resample, False, path)
    except MalformedError as error:
        # The advice is for training options, which a run does not have, so it is replaced.
        what = str(error).partition(";")[0]
        raise MalformedError(f"{what}; give one row for each step") from error
    if found.clock is None:
        raise UsageError(
            f"{path} has one row, so the time between two steps is unknown; give two rows or "
            "more, or leave the times out"
        )
    return values, found
