"""Tables in CSV and Parquet files, and the numbers in their columns.

The index of a table is the row in the file; the first row of a CSV file, names or not, is row 1.
"""

import csv
import io
import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import MalformedError, UnavailableError
from pipeline.packages import how_to_install
from pipeline.reading import read_file

_MISSING = ("", "na", "n/a", "nan", "nat", "null", "none", "<na>")
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+(?:[eE][-+]?\d+)?\s*")
_BLOCK = 4096  # cells held as text at a time; more take longer to get at,
_FEWEST = 64  # but at least so many rows
_TEXT = pd.Series(["a"]).dtype  # pandas' own for strings: packed where pyarrow is installed
BARE = "y"  # name of a column that has none


def read_table(path: Path, as_text: Collection[str] = ()) -> pd.DataFrame:
    """The columns of a CSV or Parquet file.

    A column of a CSV file that holds numbers alone is float64, NaN where a value is missing. Any
    other, and one whose name in lower case is in ``as_text``, holds its cells as strings.

    Raises:
        MalformedError: the file is missing, or is not what its name says; the row is named.
        UnavailableError: it is Parquet and pyarrow is not installed.
        StorageError: it cannot be read.
    """
    return parse_table(read_file(path, "the series"), path, as_text)


def parse_table(data: bytes, path: Path, as_text: Collection[str] = ()) -> pd.DataFrame:
    """As :func:`read_table`, of what was read from ``path``."""
    is_parquet = path.suffix.lower() in (".parquet", ".pq")
    table = _parse_parquet(data, path) if is_parquet else _parse_csv(data, path, as_text)
    require_distinct(list(table.columns), path)
    return table


def require_distinct(names: list[str], path: Path) -> None:
    """Raises MalformedError for two columns of one name."""
    twin = next((name for name in names if names.count(name) > 1), None)
    if twin is not None:
        raise MalformedError(f"{path}: two columns are called '{twin}'; rename one of them")


def _parse_csv(data: bytes, path: Path, as_text: Collection[str]) -> pd.DataFrame:
    try:
        first_line = next(filter(str.strip, _lines(data)), "")
        delimiter = max(",;\t", key=first_line.count)
        rows = enumerate(csv.reader(_lines(data), delimiter=delimiter), start=1)
        return _read_rows(((row, cells) for row, cells in rows if cells), delimiter, path, as_text)
    except UnicodeDecodeError as error:
        raise MalformedError(
            f"{path}: not UTF-8 at byte {_first_not_utf8(data)}; save it as UTF-8"
        ) from error
    except csv.Error as error:
        raise MalformedError(f"{path}: {error}; give a table of numbers") from error


def _lines(data: bytes) -> io.TextIOWrapper:
    """The lines of ``data``, decoded a few at a time."""
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig")


def _first_not_utf8(data: bytes) -> int:
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return error.start
    return len(data)


def _read_rows(
    rows: Iterator[tuple[int, list[str]]], delimiter: str, path: Path, as_text: Collection[str]
) -> pd.DataFrame:
    """The columns of numbered ``rows``, of which only a block at a time is held as text."""
    head, first = next(rows, (1, [BARE]))
    has_decimal_comma = delimiter == ";"  # as spreadsheets write it
    if has_decimal_comma:
        first = [_with_point(cell) for cell in first]
    names = [" ".join(cell.split()) for cell in first]
    number = next((name for name in names if is_number(name)), None)
    if number is not None and len(names) > 1:
        raise MalformedError(
            f"{path}, row {head}: '{number}' is a number; name every column in the first row"
        )
    if number is not None:
        names, rows = [BARE], chain([(head, first)], rows)
    names = [name or f"column {place}" for place, name in enumerate(names, start=1)]
    is_text = [name.lower() in as_text for name in names]
    labels: list[NDArray[np.int64]] = []
    parts: list[list[pd.Series]] = [[] for _ in names]
    while block := list(islice(rows, max(_FEWEST, _BLOCK // len(names)))):
        for row, cells in block:
            if len(cells) != len(names):
                raise MalformedError(
                    f"{path}, row {row}: {len(cells)} columns, but {len(names)} in row {head}; "
                    "give every row the same number of cells"
                )
        labels.append(np.array([row for row, _ in block]))
        for index, column in enumerate(zip(*(cells for _, cells in block), strict=True)):
            decimal = map(_with_point, column) if has_decimal_comma else column
            parts[index].append(_cells(list(decimal), is_text[index]))
    if not labels:
        return pd.DataFrame(columns=names, dtype=object)
    # A column of which one block is text is text, with numbers where other blocks had them.
    columns = {index: pd.concat(part, ignore_index=True) for index, part in enumerate(parts)}
    return pd.DataFrame(columns).set_axis(names, axis=1).set_axis(np.concatenate(labels), axis=0)


def _cells(cells: Sequence[str], is_text: bool) -> pd.Series:
    """Cells of one column as float64, or as they are where one of them is not a number."""
    values = None if is_text else _floats(cells)
    return pd.Series(cells, dtype=_TEXT) if values is None else pd.Series(values)


def _floats(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """``cells`` as numbers, NaN where one is missing; None where one is something else."""
    try:
        values = np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        pass  # some are missing, or are no numbers
    else:
        if "_" not in "".join(cells):  # which only Python takes for part of a number
            return values
    parsed = [_number(cell) for cell in cells]
    return None if None in parsed else np.array(parsed, dtype=np.float64)


def _with_point(cell: str) -> str:
    return cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell


def _parse_parquet(data: bytes, path: Path) -> pd.DataFrame:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise UnavailableError(
            f"{path}: reading Parquet needs pyarrow; run {how_to_install('pyarrow')}"
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
    text = str(cell)
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return math.nan if is_missing(text) else None


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
