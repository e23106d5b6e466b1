"""Series that users bring: what is read from a file, and how each fault is told."""

import builtins
import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import installed, refused

from pipeline.config import SeriesSource
from pipeline.data import Series
from pipeline.data.clock import in_time
from pipeline.data.frames import read_series
from pipeline.errors import MalformedError, PipelineError, UnavailableError, UsageError

LENGTH = 120


def frame(freq: str = "D", length: int = LENGTH, **columns: Any) -> pd.DataFrame:
    """``ds`` at steps of ``freq``, ``y`` that counts from 0, and ``columns``."""
    times = pd.date_range("2024-01-01", periods=length, freq=freq)
    return pd.DataFrame({"ds": times, "y": np.arange(length, dtype=float), **columns})


class Reader:
    """Writes a table and reads it as a series."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "data.csv"

    def __call__(self, table: pd.DataFrame | str, **options: Any) -> Series:
        text = table if isinstance(table, str) else table.to_csv(index=False)
        self.file.write_text(text, encoding="utf-8")
        return read_series(SeriesSource(file=str(self.file), **options))


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def lines(table: pd.DataFrame) -> list[str]:
    rows: list[str] = table.to_csv(index=False).splitlines()
    return rows


# --- layouts


def test_long_format_gives_the_target_first_and_then_the_features(read: Reader) -> None:
    wave = np.sin(np.arange(LENGTH))
    series = read(frame(x=wave, z=wave * 2)[["ds", "x", "y", "z"]].assign(unique_id="A"))
    assert series.columns == ("y", "x", "z")
    assert series.targets == 1
    expected = np.stack([np.arange(LENGTH), wave, wave * 2], axis=1).astype(np.float32)
    np.testing.assert_array_equal(series.values, expected)
    assert series.held_out.shape == (24, 3)
    assert series.values.flags.writeable


def test_wide_format_forecasts_every_target_in_the_order_given(read: Reader) -> None:
    table = frame(b=np.arange(LENGTH)[::-1], c=np.arange(LENGTH) % 7)
    series = read(table, target=("c", "b"))
    assert series.columns == ("c", "b", "y")
    assert series.targets == 2
    np.testing.assert_array_equal(series.values[:3], [[0, 119, 0], [1, 118, 1], [2, 117, 2]])


def test_only_column_is_the_target_whatever_its_name(read: Reader) -> None:
    assert read(frame().rename(columns={"y": "load"})).columns == ("load",)


def test_columns_without_a_target_are_listed(read: Reader) -> None:
    table = frame(x=range(LENGTH)).rename(columns={"y": "load"})
    with refused(UsageError, "load, x", "--target load"):
        read(table)
    with refused(UsageError, "'laod'", "did you mean 'load'?"):
        read(table, target=("laod",))
    with refused(UsageError, "--target ds is the time column"):
        read(table, target=("ds",))


@pytest.mark.parametrize("name", ["ds", "Date", "timestamp", "when"])
def test_time_column_is_found_by_its_name_or_its_dates(read: Reader, name: str) -> None:
    series = read(frame("h").rename(columns={"ds": name}))
    assert (series.columns, series.season) == (("y",), 24)


def test_time_column_elsewhere_is_named(read: Reader) -> None:
    table = frame("h").rename(columns={"ds": "when"})[["y", "when"]]
    assert read(table, time="when").columns == ("y",)
    with refused(UsageError, "no column is called 'wen'; did you mean 'when'?"):
        read(table, time="wen")


def test_bare_column_has_no_times_to_resample(read: Reader) -> None:
    text = "\n".join(str(i % 7) for i in range(LENGTH))
    assert (read(text).columns, read(text).season) == (("y",), 1)
    with refused(UsageError, "--resample", "--time"):
        read(text, resample="D")


def test_one_of_several_series_is_chosen_by_its_id(read: Reader) -> None:
    both = pd.concat([frame(), frame().assign(y=lambda t: 200 - t.y)])
    table = both.assign(unique_id=["A"] * LENGTH + ["B"] * LENGTH)
    assert read(table, id="B").values[0] == 200
    with refused(UsageError, "2 series (A, B)", "--id A"):
        read(table)
    with refused(UsageError, "'C'", "choose from A, B"):
        read(table, id="C")
    stations = table.rename(columns={"unique_id": "station"})
    assert read(stations, id="station=A").values[0] == 0
    with refused(UsageError, "'unique_id'", "--id COLUMN=B"):
        read(stations, id="B")


def test_semicolons_with_decimal_commas_are_read(read: Reader) -> None:
    rows = [f"2024-{m:02}-{d:02};{m},{d:02}" for m in range(1, 6) for d in range(1, 29)]
    text = "ds;y\n" + "\n".join(rows)
    with refused(MalformedError, "row 30", "--fill"):  # after the 28th of January
        read(text)
    np.testing.assert_allclose(read(text, fill="previous").values[:2, 0], [1.01, 1.02])


def test_a_row_without_an_id_is_refused_and_is_of_no_series(read: Reader) -> None:
    table = frame().assign(unique_id=["A"] * (LENGTH - 1) + [None])
    with refused(MalformedError, "'unique_id' is empty in row", str(LENGTH), "--id"):
        read(table)
    assert len(read(table, id="A").values) == LENGTH - 1


def test_parquet_is_read_as_the_same_csv(read: Reader, tmp_path: Path) -> None:
    table = frame("h", x=np.sin(np.arange(LENGTH)))
    file = tmp_path / "data.parquet"
    table.set_index("ds").to_parquet(file)
    series = read_series(SeriesSource(file=str(file)))
    assert series.digest == read(table).digest
    assert series.season == 24
    table.assign(y=table.y.where(table.y != 5)).to_parquet(file)
    with refused(MalformedError, f"{file}, row 6, column 'y'", "missing"):
        read_series(SeriesSource(file=str(file)))
    file.write_bytes(b"PAR1 not so")
    with refused(MalformedError, f"{file} is not Parquet"):
        read_series(SeriesSource(file=str(file)))


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.split(".")[0] == "pyarrow":
            raise ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow")
        return real(name, *args)

    file = tmp_path / "data.parquet"
    frame().to_parquet(file)
    monkeypatch.setattr(builtins, "__import__", without)
    with refused(UnavailableError, str(file), "-m pip install 'pyarrow>=17'"):
        read_series(SeriesSource(file=str(file)))


# --- faults


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
    read: Reader, cells: str, words: tuple[str, ...]
) -> None:
    with refused(MalformedError, str(read.file), *words):
        read(with_cell(51, cells))


def test_missing_rows_are_told_with_the_first_after_them(read: Reader) -> None:
    with refused(MalformedError, "row 41: 3 steps after row 40", "1 day", "--fill previous"):
        read(frame().drop([39, 40]))


def test_constant_column_is_told_with_its_rows(read: Reader) -> None:
    with refused(MalformedError, "column 'x'", "row 2 to row 73, is constant", "remove"):
        read(frame(x=[1.0] * 100 + [2.0] * 20))


def test_names_that_are_numbers_and_names_twice_are_refused(read: Reader) -> None:
    with refused(MalformedError, "row 1: '0.0' is a number; name every column"):
        read("\n".join(lines(frame())[1:]))
    with refused(MalformedError, "two columns are called 'y'"):
        read("ds,y,y\n" + "\n".join(f"2024,{i},{i}" for i in range(LENGTH)))


def test_resampling_of_numbered_steps_and_by_nonsense_is_refused(read: Reader) -> None:
    with refused(UsageError, "--resample needs dates"):
        read(frame().assign(ds=range(LENGTH)), resample="D")
    with refused(UsageError, "--resample 'soon'", "MS"):
        read(frame(), resample="soon")


def test_horizon_longer_than_the_test_part_is_refused(read: Reader) -> None:
    assert read(frame(), horizon=24).horizon == 24
    with refused(MalformedError, "--horizon 25", "24 values"):
        read(frame(), horizon=25)


# --- remedies


def test_missing_values_are_filled_as_asked_and_counted(read: Reader) -> None:
    table = frame()
    table.loc[[50, 51], "y"] = np.nan
    previous, linear = read(table, fill="previous"), read(table, fill="linear")
    assert previous.values[49:53, 0].tolist() == [49, 49, 49, 52]
    assert linear.values[49:53, 0].tolist() == [49, 50, 51, 52]
    assert f"{read.file}: 2 missing values filled (linear)" in linear.notes


def test_missing_steps_are_put_in_and_filled(read: Reader) -> None:
    table = frame().drop([39, 40])
    assert read(table, fill="linear").values[:, 0].tolist() == list(range(LENGTH))
    assert read(table, fill="previous").values[38:42, 0].tolist() == [38, 38, 38, 41]
    assert "2 missing steps of 1 day put in" in read(table, fill="linear").notes[0]


@pytest.mark.parametrize(("fill", "row"), [("previous", 2), ("linear", 2)])
def test_beginning_that_cannot_be_filled_is_refused(read: Reader, fill: str, row: int) -> None:
    table = frame()
    table.loc[0, "y"] = np.nan
    with refused(MalformedError, f"row {row}, column 'y'", f"--fill {fill}", "remove the row"):
        read(table, fill=fill)


def test_end_is_not_guessed_on_a_line_that_does_not_go_on(read: Reader) -> None:
    table = frame()
    table.loc[LENGTH - 1, "y"] = np.nan
    with refused(MalformedError, f"row {LENGTH + 1}", "--fill linear"):
        read(table, fill="linear")


def test_resampling_averages_and_mends_uneven_steps(read: Reader) -> None:
    table = frame("h", length=24 * LENGTH)
    uneven = pd.concat([table, table.iloc[[30]]]).drop([5, 70])
    series = read(uneven, resample="D")
    assert len(series.values) == LENGTH
    assert series.season == 7
    assert series.values[3, 0] == np.arange(72, 96).mean()
    gap = table.drop(range(48, 72))
    with refused(MalformedError, "2024-01-03 00:00:00, column 'y'", "missing", "--fill"):
        read(gap, resample="D")
    assert read(gap, resample="D", fill="previous").values[2, 0] == np.arange(24, 48).mean()


def test_rows_are_sorted_by_time_and_that_is_said(read: Reader) -> None:
    series = read(frame().sample(frac=1, random_state=0))
    np.testing.assert_array_equal(series.values[:, 0], np.arange(LENGTH))
    assert f"{read.file}: rows sorted by time" in series.notes


# --- time


@pytest.mark.parametrize(
    ("freq", "season"),
    [
        *(("15min", 96), ("h", 24), ("2h", 12), ("D", 7), ("B", 5), ("W", 52), ("W-WED", 52)),
        *(("MS", 12), ("ME", 12), ("QS", 4), ("QE", 4), ("YS", 1), ("17D", 1), ("7h", 1)),
    ],
)
def test_season_is_what_such_steps_usually_have(read: Reader, freq: str, season: int) -> None:
    table = frame(freq, length=200)
    assert read(table).season == season
    assert read(table, season=3).season == 3
    gap = read(table.drop([100]), fill="linear")
    np.testing.assert_allclose(gap.values[:, 0], np.arange(200))
    with refused(MalformedError, "row 102: 2 steps after row 101"):
        read(table.drop([100]))


def test_usual_season_that_does_not_fit_is_none(read: Reader) -> None:
    assert read(frame("min")).season == 1


@pytest.mark.parametrize("start", [0, 1, 1900, 1_700_000_000])
@pytest.mark.parametrize("step", [1, 0.1, 60])
def test_steps_that_are_numbers_are_times_too(read: Reader, start: int, step: float) -> None:
    table = frame().assign(ds=[repr(start + step * i) for i in range(LENGTH)])
    assert read(table).season == 1
    with refused(MalformedError, "row 52: 2 steps after row 51"):
        read(table.drop([50]))


@pytest.mark.parametrize(
    "form",
    ["%Y%m%d", "%d %B %Y", "%Y-%m-%dT%H:%M:%SZ", "%m/%d/%Y", "%m/%d/%Y %I:%M %p", "%Y-%m-%d %I%p"],
)
def test_dates_in_usual_forms_are_read(read: Reader, form: str) -> None:
    table = frame()
    assert read(table.assign(ds=table.ds.dt.strftime(form))).season == 7


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


# --- real series, which a package carries


def test_sea_temperatures_of_the_readme_are_months(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed("statsmodels")
    readme = (Path(__file__).parents[1] / "pipeline/train/README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(from statsmodels.*?)```", readme, flags=re.S)
    said = re.search(r"^sea.csv: .*$", readme, flags=re.M)
    assert code
    assert said
    monkeypatch.chdir(tmp_path)
    exec(compile(code[1], "README.md", "exec"), {})
    series = read_series(SeriesSource(file="sea.csv"))
    assert series.notes == (said[0],)
    assert (len(series.values), series.season) == (732, 12)


def test_missing_weeks_of_carbon_dioxide_are_told_and_filled() -> None:
    datasets = installed("statsmodels.datasets")
    file = Path(datasets.co2.__file__).with_name("co2.csv")
    with refused(MalformedError, f"{file}, row 8, column 'co2'", "missing", "--fill linear"):
        read_series(SeriesSource(file=str(file)))
    series = read_series(SeriesSource(file=str(file), fill="linear"))
    assert (len(series.values), series.season) == (2284, 52)


# --- long files, of which a block at a time is held as text


def long(length: int = 20_000) -> pd.DataFrame:
    """More rows than several blocks have."""
    return frame("min", length, x=np.sin(np.arange(length)))


def test_long_file_takes_the_memory_of_a_few_copies_of_its_numbers(read: Reader) -> None:
    table = long()
    read(table)  # imports take memory, too
    tracemalloc.start()
    series = read_series(SeriesSource(file=str(read.file)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(series.values[:, 1], table.x.to_numpy(np.float32))
    assert peak < 4 * read.file.stat().st_size


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
    read: Reader, row: int, column: str, cell: str, words: str
) -> None:
    table = long().astype({"ds": str, "x": object})
    table.loc[row, column] = cell
    with refused(MalformedError, f"{read.file}, row {row + 2}", words):
        read(table)


def test_row_without_a_cell_is_told_wherever_it_stands(read: Reader) -> None:
    text = lines(long())
    text[15_000] = text[15_000].rpartition(",")[0]
    with refused(MalformedError, "row 15001: 2 columns, but 3 in row 1"):
        read("\n".join(text))


def test_empty_lines_of_a_long_file_count_as_rows(read: Reader) -> None:
    text = lines(long())
    text[7000] = "\n\n" + text[7000].replace("2024", "soon")
    with refused(MalformedError, "row 7003", "soon"):
        read("\n".join(text))


def test_ids_and_times_count_as_they_are_written(read: Reader) -> None:
    both = pd.concat([frame(), frame().assign(y=lambda t: 200 - t.y)])
    table = both.assign(unique_id=["007"] * LENGTH + ["7"] * LENGTH)
    assert read(table, id="7").values[0] == 200
    assert read(table.rename(columns={"unique_id": "No"}), id="No=007").values[0] == 0
    steps = frame().assign(ds=[f"{i}.50" for i in range(LENGTH)])
    steps.loc[50, "ds"] = "49.50"
    with refused(MalformedError, "the time '49.50' stands in row 51 already"):
        read(steps)
    with refused(MalformedError, "the time '49.50' stands in row 51 already"):
        read(steps.rename(columns={"ds": "When"}), time="When")
