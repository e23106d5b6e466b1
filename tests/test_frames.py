"""Series that users bring: every layout that is read from a file."""

import builtins
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tables import LENGTH, Reader, frame
from tiny import installed, refused

from pipeline.config import SeriesSource
from pipeline.data.frames import read_series
from pipeline.errors import MalformedError, UnavailableError, UsageError


def test_long_format_gives_the_target_first_and_then_the_features(read_table: Reader) -> None:
    wave = np.sin(np.arange(LENGTH))
    series = read_table(frame(x=wave, z=wave * 2)[["ds", "x", "y", "z"]].assign(unique_id="A"))
    assert series.columns == ("y", "x", "z")
    assert series.targets == 1
    expected = np.stack([np.arange(LENGTH), wave, wave * 2], axis=1).astype(np.float32)
    np.testing.assert_array_equal(series.values, expected)
    assert series.held_out.shape == (24, 3)
    assert series.values.flags.writeable


def test_wide_format_forecasts_every_target_in_the_order_given(read_table: Reader) -> None:
    table = frame(b=np.arange(LENGTH)[::-1], c=np.arange(LENGTH) % 7)
    series = read_table(table, target=("c", "b"))
    assert series.columns == ("c", "b", "y")
    assert series.targets == 2
    np.testing.assert_array_equal(series.values[:3], [[0, 119, 0], [1, 118, 1], [2, 117, 2]])


def test_only_column_is_the_target_whatever_its_name(read_table: Reader) -> None:
    assert read_table(frame().rename(columns={"y": "load"})).columns == ("load",)


def test_columns_without_a_target_are_listed(read_table: Reader) -> None:
    table = frame(x=range(LENGTH)).rename(columns={"y": "load"})
    with refused(UsageError, "load, x", "--target load"):
        read_table(table)
    with refused(UsageError, "'laod'", "did you mean 'load'?"):
        read_table(table, target=("laod",))
    with refused(UsageError, "--target ds is the time column"):
        read_table(table, target=("ds",))


@pytest.mark.parametrize("name", ["ds", "Date", "timestamp", "when"])
def test_time_column_is_found_by_its_name_or_its_dates(read_table: Reader, name: str) -> None:
    series = read_table(frame("h").rename(columns={"ds": name}))
    assert (series.columns, series.season) == (("y",), 24)


def test_time_column_elsewhere_is_named(read_table: Reader) -> None:
    table = frame("h").rename(columns={"ds": "when"})[["y", "when"]]
    assert read_table(table, time="when").columns == ("y",)
    with refused(UsageError, "no column is called 'wen'; did you mean 'when'?"):
        read_table(table, time="wen")


def test_bare_column_has_no_times_to_resample(read_table: Reader) -> None:
    text = "\n".join(str(i % 7) for i in range(LENGTH))
    assert (read_table(text).columns, read_table(text).season) == (("y",), 1)
    with refused(UsageError, "--resample", "--time"):
        read_table(text, resample="D")


def test_one_of_several_series_is_chosen_by_its_id(read_table: Reader) -> None:
    both = pd.concat([frame(), frame().assign(y=lambda t: 200 - t.y)])
    table = both.assign(unique_id=["A"] * LENGTH + ["B"] * LENGTH)
    assert read_table(table, id="B").values[0] == 200
    with refused(UsageError, "2 series (A, B)", "--id A"):
        read_table(table)
    with refused(UsageError, "'C'", "choose from A, B"):
        read_table(table, id="C")
    stations = table.rename(columns={"unique_id": "station"})
    assert read_table(stations, id="station=A").values[0] == 0
    with refused(UsageError, "'unique_id'", "--id COLUMN=B"):
        read_table(stations, id="B")


def test_semicolons_with_decimal_commas_are_read(read_table: Reader) -> None:
    rows = [f"2024-{m:02}-{d:02};{m},{d:02}" for m in range(1, 6) for d in range(1, 29)]
    text = "ds;y\n" + "\n".join(rows)
    with refused(MalformedError, "row 30", "--fill"):  # after the 28th of January
        read_table(text)
    np.testing.assert_allclose(read_table(text, fill="previous").values[:2, 0], [1.01, 1.02])


def test_a_row_without_an_id_is_refused_and_is_of_no_series(read_table: Reader) -> None:
    table = frame().assign(unique_id=["A"] * (LENGTH - 1) + [None])
    with refused(MalformedError, "'unique_id' is empty in row", str(LENGTH), "--id"):
        read_table(table)
    assert len(read_table(table, id="A").values) == LENGTH - 1


def test_parquet_is_read_as_the_same_csv(read_table: Reader, tmp_path: Path) -> None:
    table = frame("h", x=np.sin(np.arange(LENGTH)))
    file = tmp_path / "data.parquet"
    table.set_index("ds").to_parquet(file)
    series = read_series(SeriesSource(file=str(file)))
    assert series.digest == read_table(table).digest
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


@pytest.mark.parametrize(
    ("freq", "season"),
    [
        *(("15min", 96), ("h", 24), ("2h", 12), ("D", 7), ("B", 5), ("W", 52), ("W-WED", 52)),
        *(("MS", 12), ("ME", 12), ("QS", 4), ("QE", 4), ("YS", 1), ("17D", 1), ("7h", 1)),
    ],
)
def test_season_is_what_such_steps_usually_have(read_table: Reader, freq: str, season: int) -> None:
    table = frame(freq, length=200)
    assert read_table(table).season == season
    assert read_table(table, season=3).season == 3
    gap = read_table(table.drop([100]), fill="linear")
    np.testing.assert_allclose(gap.values[:, 0], np.arange(200))
    with refused(MalformedError, "row 102: 2 steps after row 101"):
        read_table(table.drop([100]))


def test_usual_season_that_does_not_fit_is_none(read_table: Reader) -> None:
    assert read_table(frame("min")).season == 1


@pytest.mark.parametrize("start", [0, 1, 1900, 1_700_000_000])
@pytest.mark.parametrize("step", [1, 0.1, 60])
def test_steps_that_are_numbers_are_times_too(read_table: Reader, start: int, step: float) -> None:
    table = frame().assign(ds=[repr(start + step * i) for i in range(LENGTH)])
    assert read_table(table).season == 1
    with refused(MalformedError, "row 52: 2 steps after row 51"):
        read_table(table.drop([50]))


@pytest.mark.parametrize(
    "form",
    ["%Y%m%d", "%d %B %Y", "%Y-%m-%dT%H:%M:%SZ", "%m/%d/%Y", "%m/%d/%Y %I:%M %p", "%Y-%m-%d %I%p"],
)
def test_dates_in_usual_forms_are_read(read_table: Reader, form: str) -> None:
    table = frame()
    assert read_table(table.assign(ds=table.ds.dt.strftime(form))).season == 7


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
