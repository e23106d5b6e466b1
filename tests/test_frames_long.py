"""Long files of series, of which a block at a time is held as text."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from tables import LENGTH, Reader, frame, lines
from tiny import refused

from pipeline.config import SeriesSource
from pipeline.data.frames import read_series
from pipeline.errors import MalformedError


def long(length: int = 20_000) -> pd.DataFrame:
    """More rows than several blocks have."""
    return frame("min", length, x=np.sin(np.arange(length)))


def test_long_file_takes_the_memory_of_a_few_copies_of_its_numbers(read_table: Reader) -> None:
    table = long()
    read_table(table)  # imports take memory, too
    tracemalloc.start()
    series = read_series(SeriesSource(file=str(read_table.file)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(series.values[:, 1], table.x.to_numpy(np.float32))
    assert peak < 4 * read_table.file.stat().st_size


@pytest.mark.parametrize("row", [2, 5000, 19_999])
@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        ("x", "broken", "'broken' is not a number"),
        ("x", "1_000", "'1_000' is not a number"),
        ("x", "N/A", "missing"),
        ("ds", "", "the time is missing"),
        ("ds", "soon", "'soon' is not a time"),
        ("ds", "2024-01-01 00:00:00", "stands in row 2 already"),
    ],
)
def test_fault_is_told_wherever_it_stands_in_a_long_file(
    read_table: Reader, row: int, column: str, cell: str, words: str
) -> None:
    table = long().astype({"ds": str, "x": object})
    table.loc[row, column] = cell
    with refused(MalformedError, f"{read_table.file}, row {row + 2}", words):
        read_table(table)


def test_row_without_a_cell_is_told_wherever_it_stands(read_table: Reader) -> None:
    text = lines(long())
    text[15_000] = text[15_000].rpartition(",")[0]
    with refused(MalformedError, "row 15001: 2 columns, but 3 in row 1"):
        read_table("\n".join(text))


def test_empty_lines_of_a_long_file_count_as_rows(read_table: Reader) -> None:
    text = lines(long())
    text[7000] = "\n\n" + text[7000].replace("2024", "soon")
    with refused(MalformedError, "row 7003", "soon"):
        read_table("\n".join(text))


def test_ids_and_times_count_as_they_are_written(read_table: Reader) -> None:
    both = pd.concat([frame(), frame().assign(y=lambda t: 200 - t.y)])
    table = both.assign(unique_id=["007"] * LENGTH + ["7"] * LENGTH)
    assert read_table(table, id="7").values[0] == 200
    assert read_table(table.rename(columns={"unique_id": "No"}), id="No=007").values[0] == 0
    steps = frame().assign(ds=[f"{i}.50" for i in range(LENGTH)])
    steps.loc[50, "ds"] = "49.50"
    with refused(MalformedError, "the time '49.50' stands in row 51 already"):
        read_table(steps)
    with refused(MalformedError, "the time '49.50' stands in row 51 already"):
        read_table(steps.rename(columns={"ds": "When"}), time="When")
