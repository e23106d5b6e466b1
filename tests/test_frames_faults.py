"""Faults in a series of the user, each told with its row, and how they are mended."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import LENGTH, Reader, frame, lines
from tiny import installed, refused

from pipeline.config import SeriesSource
from pipeline.data.clock import in_time
from pipeline.data.frames import read_series
from pipeline.errors import MalformedError, PipelineError, UsageError


def with_cell(row: int, cells: str) -> str:
    """The file of ``frame()`` with ``cells`` in ``row``."""
    text = lines(frame(x=np.arange(LENGTH) % 5))
    text[row - 1] = cells
    return "\n".join(text)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("2024-02-19,broken,4", ("row 51, column 'y'", "'broken' is not a number")),
        ("2024-02-19,49,few", ("row 51, column 'x'", "'few' is not a number")),
        ("2024-02-19,inf,4", ("row 51, column 'y'", "not finite")),
        ("2024-02-19,1e39,4", ("row 51, column 'y'", "too large for float32")),
        ("2024-02-19,,4", ("row 51, column 'y'", "missing", "--fill previous", "--fill linear")),
        ("2024-02-19,49,n/a", ("row 51, column 'x'", "missing", "--fill")),
        ("soon,49,4", ("row 51, column 'ds'", "'soon' is not a time")),
        (",49,4", ("row 51, column 'ds'", "the time is missing")),
        ("2024-02-18,49,4", ("row 51", "'2024-02-18' stands in row 50 already", "--resample")),
        ("2024-02-19 07:00,49,4", ("row 51", "steps after row 50", "1 day", "--resample")),
        ("2024-02-19,49", ("row 51", "2 columns")),
    ],
)
def test_fault_is_told_with_its_row_and_what_to_do(
    read_table: Reader, cells: str, words: tuple[str, ...]
) -> None:
    with refused(MalformedError, str(read_table.file), *words):
        read_table(with_cell(51, cells))


def test_missing_rows_are_told_with_the_first_after_them(read_table: Reader) -> None:
    with refused(MalformedError, "row 41: 3 steps after row 40", "1 day", "--fill previous"):
        read_table(frame().drop([39, 40]))


def test_constant_column_is_told_with_its_rows(read_table: Reader) -> None:
    with refused(MalformedError, "column 'x'", "row 2 to row 73, is constant", "remove"):
        read_table(frame(x=[1.0] * 100 + [2.0] * 20))


def test_names_that_are_numbers_and_names_twice_are_refused(read_table: Reader) -> None:
    with refused(MalformedError, "row 1: '0.0' is a number; name every column"):
        read_table("\n".join(lines(frame())[1:]))
    with refused(MalformedError, "two columns are called 'y'"):
        read_table("ds,y,y\n" + "\n".join(f"2024,{i},{i}" for i in range(LENGTH)))


def test_resampling_of_numbered_steps_and_by_nonsense_is_refused(read_table: Reader) -> None:
    with refused(UsageError, "--resample needs dates"):
        read_table(frame().assign(ds=range(LENGTH)), resample="D")
    with refused(UsageError, "--resample 'soon'", "MS"):
        read_table(frame(), resample="soon")


def test_horizon_longer_than_the_test_part_is_refused(read_table: Reader) -> None:
    assert read_table(frame(), horizon=24).horizon == 24
    with refused(MalformedError, "--horizon 25", "24 values"):
        read_table(frame(), horizon=25)


def test_missing_values_are_filled_as_asked_and_counted(read_table: Reader) -> None:
    table = frame()
    table.loc[[50, 51], "y"] = np.nan
    previous, linear = read_table(table, fill="previous"), read_table(table, fill="linear")
    assert previous.values[49:53, 0].tolist() == [49, 49, 49, 52]
    assert linear.values[49:53, 0].tolist() == [49, 50, 51, 52]
    assert f"{read_table.file}: 2 missing values filled (linear)" in linear.notes


def test_missing_steps_are_put_in_and_filled(read_table: Reader) -> None:
    table = frame().drop([39, 40])
    assert read_table(table, fill="linear").values[:, 0].tolist() == list(range(LENGTH))
    assert read_table(table, fill="previous").values[38:42, 0].tolist() == [38, 38, 38, 41]
    assert "2 missing steps of 1 day put in" in read_table(table, fill="linear").notes[0]


@pytest.mark.parametrize(("fill", "row"), [("previous", 2), ("linear", 2)])
def test_beginning_that_cannot_be_filled_is_refused(
    read_table: Reader, fill: str, row: int
) -> None:
    table = frame()
    table.loc[0, "y"] = np.nan
    with refused(MalformedError, f"row {row}, column 'y'", f"--fill {fill}", "remove the row"):
        read_table(table, fill=fill)


def test_end_is_not_guessed_on_a_line_that_does_not_go_on(read_table: Reader) -> None:
    table = frame()
    table.loc[LENGTH - 1, "y"] = np.nan
    with refused(MalformedError, f"row {LENGTH + 1}", "--fill linear"):
        read_table(table, fill="linear")


def test_resampling_averages_and_mends_uneven_steps(read_table: Reader) -> None:
    table = frame("h", length=24 * LENGTH)
    uneven = pd.concat([table, table.iloc[[30]]]).drop([5, 70])
    series = read_table(uneven, resample="D")
    assert len(series.values) == LENGTH
    assert series.season == 7
    assert series.values[3, 0] == np.arange(72, 96).mean()
    gap = table.drop(range(48, 72))
    with refused(MalformedError, "2024-01-03 00:00:00, column 'y'", "missing", "--fill"):
        read_table(gap, resample="D")
    assert read_table(gap, resample="D", fill="previous").values[2, 0] == np.arange(24, 48).mean()


def test_rows_are_sorted_by_time_and_that_is_said(read_table: Reader) -> None:
    series = read_table(frame().sample(frac=1, random_state=0))
    np.testing.assert_array_equal(series.values[:, 0], np.arange(LENGTH))
    assert f"{read_table.file}: rows sorted by time" in series.notes


@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 2), min_size=3, max_size=40).filter(
        lambda gaps: sorted(gaps)[(len(gaps) - 1) // 2] == 1
    ),
    unit=st.sampled_from(["s", "min", "h", "D"]),
    order=st.randoms(use_true_random=False),
)
def test_every_row_comes_to_its_place_and_only_what_lacks_is_put_in(
    gaps: list[int], unit: str, order: Any
) -> None:
    at = np.concatenate([[0], np.cumsum(gaps)])
    times = pd.Timestamp("2024-01-06") + pd.to_timedelta(at, unit=unit)
    table = pd.DataFrame({"ds": times, "y": at}, index=range(2, len(at) + 2))
    rows = list(table.index)
    order.shuffle(rows)
    table = table.loc[rows]
    values, _, _ = in_time(table[["y"]], table["ds"], None, True, Path("data.csv"))
    found = values["y"].to_numpy()
    assert len(found) == at[-1] + 1
    np.testing.assert_array_equal(found[at], at)
    assert np.isnan(np.delete(found.astype(float), at)).all()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300) | st.text("0123456789.,;\n\r\"'ab-", max_size=300).map(str.encode))
def test_whatever_stands_in_a_file_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.mktemp("any", numbered=True) / "data.csv"
    file.write_bytes(data + b"\n" + b"1\n2\n" * 60)
    try:
        message, values = "", read_series(SeriesSource(file=str(file))).values
    except PipelineError as error:
        message, values = str(error), np.zeros(0, np.float32)
    assert np.isfinite(values).all()
    assert not message or (str(file) in message and len(message.splitlines()) == 1)


def test_missing_weeks_of_carbon_dioxide_are_told_and_filled() -> None:
    datasets = installed("statsmodels.datasets")
    file = Path(datasets.co2.__file__).with_name("co2.csv")
    with refused(MalformedError, f"{file}, row 8, column 'co2'", "missing", "--fill linear"):
        read_series(SeriesSource(file=str(file)))
    series = read_series(SeriesSource(file=str(file), fill="linear"))
    assert (len(series.values), series.season) == (2284, 52)
