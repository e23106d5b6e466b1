"""The history that a forecast goes on from: columns of a table, found as training found them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.config import SeriesSource
from pipeline.contract import Manifest
from pipeline.data.clock import Times, in_time
from pipeline.data.frames import ID, time_column
from pipeline.data.tables import BARE, listed, numbers, place
from pipeline.errors import MalformedError, UsageError, unknown


@dataclass(frozen=True)
class DataSource:
    """What a series model was trained on: the columns in the order of its input, ids, and times."""

    columns: tuple[str, ...] = ()
    id: str | None = None
    time: str | None = None
    resample: str | None = None

    @classmethod
    def of(cls, manifest: Manifest) -> "DataSource":
        """As far as it has names: a sine and imported weights have none."""
        source = manifest.source
        if not isinstance(source, SeriesSource):
            return cls()
        return cls(source.columns, source.id, source.time, source.resample)


@dataclass(frozen=True)
class History:
    """What a forecast goes on from, ``values`` ``[steps, columns]`` in raw units.

    ``time`` is the column of the times, and ``times`` are those; both None where there are none.
    """

    columns: tuple[str, ...]
    values: NDArray[np.float32]
    time: str | None
    times: Times | None


def history_of(
    table: pd.DataFrame, path: Path, source: DataSource, width: int, time: str | None = None
) -> History:
    """The ``width`` columns that the model reads, by the names of training, else by their order.

    ``time`` is the column of the times; where it is None, it is found.

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
    if time is None:
        time = time_column(table, source.time if source.time in table.columns else None)
    found = [name for name in table.columns if name not in (time, ID)]
    names = _matched(found, source.columns, width, path)
    if table.empty:
        raise MalformedError(f"{path} has no rows; give the steps that the forecast goes on from")
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
    return History(names, values.to_numpy(dtype=np.float32), time, times)


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
    """The rows in the order of their times, at even steps; averaged where training did so."""
    try:
        return in_time(values, times, resample, False, path)[:2]
    except MalformedError as error:
        # What training can do about it, no option of a run can.
        what = str(error).partition(";")[0]
        raise MalformedError(f"{what}; give one row for each step") from error
