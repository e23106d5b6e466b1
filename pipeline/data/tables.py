"""Tables in CSV and Parquet files, and the numbers in their columns.

The index of a table is the row in the file; the first row of a CSV file, names or not, is row 1.
"""

import csv
import io
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import MalformedError, UnavailableError
from pipeline.reading import read_file

_MISSING = ("", "na", "n/a", "nan", "nat", "null", "none", "<na>")
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+(?:[eE][-+]?\d+)?\s*")
BARE = "y"  # name of a column that has none


def read_table(path: Path) -> pd.DataFrame:
    """The columns of a CSV or Parquet file; the cells of a CSV file are strings.

    Raises:
        MalformedError: the file is missing, or is not what its name says; the row is named.
        UnavailableError: it is Parquet and pyarrow is not installed.
        StorageError: it cannot be read.
    """
    return parse_table(read_file(path, "the series"), path)


def parse_table(data: bytes, path: Path) -> pd.DataFrame:
    """As :func:`read_table`, of what was read from ``path``."""
    is_parquet = path.suffix.lower() in (".parquet", ".pq")
    table = _parse_parquet(data, path) if is_parquet else _parse_csv(data, path)
    names = list(table.columns)
    twin = next((name for name in names if names.count(name) > 1), None)
    if twin is not None:
        raise MalformedError(f"{path}: two columns are called '{twin}'; rename one of them")
    return table


def _parse_csv(data: bytes, path: Path) -> pd.DataFrame:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedError(
            f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8"
        ) from error
    first_line = next(filter(str.strip, text.splitlines()), "")
    delimiter = max(",;\t", key=first_line.count)
    try:
        lines = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter)
        rows = {row: cells for row, cells in enumerate(lines, start=1) if cells}
    except csv.Error as error:
        raise MalformedError(f"{path}: {error}; give a table of numbers") from error
    if delimiter == ";":  # as spreadsheets write it where the comma is the decimal mark
        rows = {row: [_with_point(cell) for cell in cells] for row, cells in rows.items()}
    head = next(iter(rows), 1)
    names = [" ".join(cell.split()) for cell in rows.get(head, [BARE])]
    number = next((name for name in names if is_number(name)), None)
    if number is None:
        rows.pop(head, None)
    elif len(names) == 1:
        names = [BARE]
    else:
        raise MalformedError(
            f"{path}, row {head}: '{number}' is a number; name every column in the first row"
        )
    names = [name or f"column {place}" for place, name in enumerate(names, start=1)]
    for row, cells in rows.items():
        if len(cells) != len(names):
            raise MalformedError(
                f"{path}, row {row}: {len(cells)} columns, but {len(names)} in row {head}; "
                "give every row the same number of cells"
            )
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=names, dtype=object)


def _with_point(cell: str) -> str:
    return cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell


def _parse_parquet(data: bytes, path: Path) -> pd.DataFrame:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise UnavailableError(
            f"{path}: reading Parquet needs pyarrow; run pip install 'pipeline[parquet]'"
        ) from error
    try:
        table = parquet.read_table(io.BytesIO(data)).to_pandas()
    except (ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise MalformedError(f"{path} is not Parquet ({reason}); write it anew") from error
    if any(name is not None for name in table.index.names):
        table = table.reset_index()
    table.columns = list(map(str, table.columns))
    return table.set_axis(pd.RangeIndex(1, len(table) + 1))


def listed(names: Iterable[Any], shown: int = 8) -> str:
    """The first of ``names``, for a message."""
    names = list(map(_short, names))
    return ", ".join(names[:shown]) + (", …" if len(names) > shown else "")


def place(label: Any) -> str:
    """A row, or a time where an average has taken the place of rows, for a message."""
    return f"row {label}" if isinstance(label, (int, np.integer)) else str(label)


def quoted(cell: Any) -> str:
    """A cell, for a message."""
    return f"'{_short(cell)}'"


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text[:40] + "…" if len(text) > 40 else text


def is_missing(cell: Any) -> bool:
    """Whether ``cell`` is empty or says that there is no value."""
    return str(cell).strip().lower() in _MISSING


def is_number(cell: Any) -> bool:
    """Whether ``cell`` holds a number."""
    return not is_missing(cell) and _number(cell) is not None


def _number(cell: Any) -> float | None:
    """``cell`` as a number, NaN where it is missing, None where it is something else."""
    if is_missing(cell):
        return math.nan
    try:
        return None if "_" in str(cell) else float(str(cell))
    except ValueError:
        return None


def numbers(column: pd.Series, path: Path) -> NDArray[np.float64]:
    """A column as numbers ``[rows]``, NaN where a value is missing.

    Raises:
        MalformedError: a cell is not a number, not finite or too large for float32; its row and
            column are named.
    """
    if pd.api.types.is_numeric_dtype(column):
        values: NDArray[np.float64] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        parsed = [_number(cell) for cell in column]
        if None in parsed:
            bad = parsed.index(None)
            raise MalformedError(
                f"{path}, {place(column.index[bad])}, column '{column.name}': "
                f"{quoted(column.iloc[bad])} is not a number; correct it, or remove the column"
            )
        values = np.array(parsed, dtype=np.float64)
    with np.errstate(over="ignore"):
        endless = np.flatnonzero(np.isinf(values.astype(np.float32)))
    if endless.size:
        value = values[endless[0]]
        reason = "not finite" if math.isinf(value) else "too large for float32"
        raise MalformedError(
            f"{path}, {place(column.index[endless[0]])}, column '{column.name}': {value} is "
            f"{reason}; correct it"
        )
    return values
