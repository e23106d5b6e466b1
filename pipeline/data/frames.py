"""Series that users bring: long, wide, or one bare column, in CSV or Parquet."""

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.config import Fill, SeriesSource
from pipeline.data.clock import are_times, in_time
from pipeline.data.series import HELD_OUT, Series, check_length, steps_before_test, training_steps
from pipeline.data.tables import BARE, listed, numbers, place, read_table
from pipeline.errors import MalformedError, UsageError, unknown

ID, _TARGET = "unique_id", BARE  # as Nixtla's and other forecasting libraries call them
_TIMES = ("ds", "date", "datetime", "time", "timestamp")


def read_series(source: SeriesSource) -> Series:
    """The series of a CSV or Parquet file, its targets first and its other columns after them.

    Raises:
        UsageError: an option names a column, a series or a frequency that is not there, or is
            needed to choose one.
        MalformedError: a cell is not a number or not a time, a value is missing, a time stands
            twice, steps are uneven, or a column is constant, each with its row; or there are
            too few values.
        UnavailableError: the file is Parquet and pyarrow is not installed.
        StorageError: the file cannot be read.
    """
    path = Path(source.file)
    table = one_of_several(read_table(path, text_columns(source.time, source.id)), source.id, path)
    time = time_column(table, source.time)
    columns = [name for name in table.columns if name != time]
    targets = _targets(columns, source.target, time, path)
    names = list(dict.fromkeys((*targets, *columns)))
    values = pd.DataFrame(
        {name: numbers(table[name], path) for name in names}, index=table.index, columns=names
    )
    season = 1
    notes: list[str] = []
    if time is not None:
        values, times, notes = in_time(
            values, table[time], source.resample, source.fill is not None, path
        )
        season = times.clock.season if times.clock else 1
    elif source.resample:
        raise UsageError(f"--resample needs times, and {path} has none; name them with --time")
    check_length(len(values), str(path))
    missing = int(values.isna().to_numpy().sum())
    if source.fill and missing:
        values = _filled(values, source.fill)
        notes.append(f"{missing} missing values filled ({source.fill})")
    checked = _checked(values, source.fill, path)
    season = _season(source, season, len(checked), path)
    features = f" from {listed(names)}" if len(names) > len(targets) else ""
    notes.append(f"{len(checked)} steps, season {season}, to forecast {listed(targets)}{features}")
    return Series(
        checked,
        season,
        held_out=checked[steps_before_test(len(checked)) :][-2 * HELD_OUT :],
        targets=len(targets),
        columns=tuple(names),
        horizon=source.horizon,
        notes=tuple(f"{path}: {note}" for note in notes),
    )


def text_columns(time: str | None, ids: str | None) -> frozenset[str]:
    """Names, in lower case, of columns whose cells count as they are written: times, and ids."""
    chosen = (time or "", (ids or "").partition("=")[0])
    return frozenset((ID, *_TIMES, *map(str.lower, chosen)))


def one_of_several(table: pd.DataFrame, chosen: str | None, path: Path) -> pd.DataFrame:
    """The rows of one series, without the column that says which series a row belongs to.

    ``chosen`` is an id, or a column and an id as ``COLUMN=ID``; None where there is only one.

    Raises:
        UsageError: there are several and none was chosen, or the one chosen is not there.
        MalformedError: a row has no id, and none was chosen.
    """
    column, _, value = (chosen or "").partition("=")
    if column not in table.columns or not value:
        column, value = ID, chosen or ""
    if column not in table.columns:
        if chosen is None:
            return table
        raise UsageError(
            f"{path} has no column '{ID}'; say which holds the ids with --id COLUMN={chosen}"
        )
    ids = table[column].astype(str)
    without = table[column].isna() | (ids == "")
    if chosen is None and without.any():
        raise MalformedError(
            f"{path}: column '{column}' is empty in row {int(without.argmax()) + 1}; give every "
            "row the id of its series, or choose one with --id"
        )
    known = list(dict.fromkeys(ids[~without]))
    if chosen is None and len(known) > 1:
        raise UsageError(
            f"{path} holds {len(known)} series ({listed(known)}); choose one, for example "
            f"--id {shlex.quote(known[0])}"
        )
    if chosen is not None and value not in known:
        raise unknown(f"series in {path}", value, known)
    return (table if chosen is None else table[~without & (ids == value)]).drop(columns=column)


def time_column(table: pd.DataFrame, chosen: str | None) -> str | None:
    """The column that was chosen, or has a usual name, or is the first and begins with dates."""
    if chosen is not None:
        if chosen not in table.columns:
            raise unknown("column", chosen, table.columns)
        return chosen
    for name in table.columns:
        if name.lower() in _TIMES:
            return str(name)
    if len(table.columns) > 1 and len(table) and are_times(list(table.iloc[:3, 0])):
        return str(table.columns[0])
    return None


def _targets(
    columns: list[str], chosen: tuple[str, ...], time: str | None, path: Path
) -> tuple[str, ...]:
    """The columns to forecast: those chosen, or ``y``, or the only one there is."""
    for name in chosen:
        if name == time:
            raise UsageError(f"--target {name} is the time column; name a column of numbers")
        if name not in columns:
            raise unknown("column", name, columns)
    if chosen:
        return tuple(dict.fromkeys(chosen))
    if _TARGET in columns:
        return (_TARGET,)
    if len(columns) == 1:
        return (columns[0],)
    if not columns:
        raise MalformedError(f"{path} has no column of numbers beside its times; add one")
    raise UsageError(
        f"{path} has the columns {listed(columns)}; say which to forecast, for example "
        f"--target {shlex.quote(columns[0])}"
    )


def _filled(values: pd.DataFrame, how: Fill) -> pd.DataFrame:
    """Missing values from the one before, or on the line between their neighbours."""
    if how == "previous":
        return values.ffill()
    labels = values.index
    return values.reset_index(drop=True).interpolate(limit_area="inside").set_axis(labels)


def _checked(values: pd.DataFrame, fill: Fill | None, path: Path) -> NDArray[np.float32]:
    """``values`` as float32 ``[time, columns]``; refuses what is missing or constant."""
    rows, names = values.index, values.columns
    missing = np.argwhere(values.isna().to_numpy())
    if missing.size:
        row, column = missing[0]
        remedy = (
            f"--fill {fill} has nothing there to go by, remove the row"
            if fill
            else "fill it with --fill previous or --fill linear, or remove the row"
        )
        raise MalformedError(
            f"{path}, {place(rows[row])}, column '{names[column]}': the value is missing; {remedy}"
        )
    checked: NDArray[np.float32] = values.to_numpy(dtype=np.float32, copy=True)
    end = training_steps(len(checked))
    for name, spread in zip(names, np.ptp(checked[:end], axis=0), strict=True):
        if spread == 0:
            raise MalformedError(
                f"{path}, column '{name}': the training part, {place(rows[0])} to "
                f"{place(rows[end - 1])}, is constant; there is nothing to learn, remove the column"
                " or give more rows"
            )
    return checked


def _season(source: SeriesSource, usual: int, length: int, path: Path) -> int:
    """The season that was asked for, or the usual one; it and the horizon must fit."""
    past = steps_before_test(length)
    if source.horizon is not None and source.horizon > length - past:
        raise MalformedError(
            f"{path}: --horizon {source.horizon} is longer than the test part of {length - past} "
            "values; give a shorter one"
        )
    if source.season is None:
        return usual if usual <= past else 1
    if source.season > past:
        raise MalformedError(
            f"{path}: --season {source.season} is longer than the {past} values "
            "before the test part; give a shorter one"
        )
    return source.season
