"""The history that a forecast goes on from: columns of a table, found as training found them."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.data.clock import in_time
from pipeline.data.frames import ID, time_column
from pipeline.data.tables import BARE, listed, numbers, place
from pipeline.errors import MalformedError, UsageError, unknown
from pipeline.run.open import DataSource


def history_of(
    table: pd.DataFrame, path: Path, source: DataSource, width: int
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """The names of the ``width`` columns that the model reads, and their values ``[time, width]``.

    They go by the names of the columns that training read, else by their order.

    Raises:
        UsageError: a column that the model reads is not there, or others are too many.
        MalformedError: there are no rows, several series, a cell without a number, or times that
            stand twice or are uneven, each with its row.
    """
    for ids in {ID, (source.id or "").partition("=")[0]}.intersection(table.columns):
        if table[ids].nunique() > 1:
            raise MalformedError(
                f"{path}, column '{ids}': there are {table[ids].nunique()} series; give the rows "
                "of one"
            )
    time = time_column(table, source.time if source.time in table.columns else None)
    found = [name for name in table.columns if name not in (time, ID)]
    names = _matched(found, source.columns, width, path)
    if table.empty:
        raise MalformedError(f"{path} has no rows; give the steps that the forecast goes on from")
    values = pd.DataFrame({name: numbers(table[name], path) for name in names}, index=table.index)
    if time is not None:
        values = _in_time(values, table[time], source.resample, path)
    missing = np.argwhere(values.isna().to_numpy())
    if missing.size:
        row, column = missing[0]
        raise MalformedError(
            f"{path}, {place(values.index[row])}, column '{names[column]}': the value is missing; "
            "write a number there, or remove all rows up to it"
        )
    return names, values.to_numpy(dtype=np.float32)


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
) -> pd.DataFrame:
    """The rows in the order of their times, at even steps; averaged where training did so."""
    try:
        return in_time(values, times, resample, False, path)[0]
    except MalformedError as error:
        # What training can do about it, no option of a run can.
        what = str(error).partition(";")[0]
        raise MalformedError(f"{what}; give one row for each step") from error
