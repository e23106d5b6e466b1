"""``pipeline run`` answers a history with dates by the dates that follow, wherever it prints."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import Here
from tiny import refused

from pipeline.bundle import Bundle
from pipeline.data.clock import in_time, time_texts
from pipeline.errors import UsageError
from pipeline.run.bundle import load
from pipeline.run.chart import terminal_chart
from pipeline.run.history import History
from pipeline.run.series import Forecast

SINE = "sine-gru"
WAVE = np.sin(np.arange(30) / 5).astype(np.float32)
FOLLOWING = {
    "days": (pd.date_range("2024-02-01", periods=30).strftime("%Y-%m-%d"), "2024-03-02"),
    "months": (pd.period_range("2020-01", periods=30, freq="M").astype(str), "2022-07-01"),
    "hours": (
        pd.date_range("2024-01-01", periods=30, freq="h").strftime("%Y-%m-%d %H:%M"),
        "2024-01-02 06:00",
    ),
    "offsets": (
        pd.date_range("2024-01-01", periods=30, freq="D").strftime("%Y-%m-%dT%H:%M+02:00"),
        "2024-01-31 00:00+02:00",
    ),
    "seasons of offsets": (
        ["2024-03-31 00:00+01:00", "2024-03-31 01:00+01:00", "2024-03-31 03:00+02:00"],
        "2024-03-31 02:00+00:00",
    ),
    "numbers": (range(1990, 2020), "2020"),
    "halves": (np.arange(30) / 2, "15"),
}


def table(times: object, **columns: object) -> str:
    frame = pd.DataFrame({"when": times})
    frame = frame.assign(value=WAVE[: len(frame)], **columns)
    return str(frame.rename(columns={"when": "ds"}).to_csv(index=False))


@pytest.fixture
def here(tmp_path: Path, tiny_bundle: Callable[[str], Bundle], pipeline: Here) -> Here:
    shutil.copytree(tiny_bundle(SINE).folder, tmp_path / "exported" / SINE)
    return pipeline


@pytest.mark.parametrize("kind", FOLLOWING)
def test_the_first_time_of_the_forecast_follows_the_last_of_the_history(
    here: Here, kind: str
) -> None:
    times, first = FOLLOWING[kind]
    Path("h.csv").write_text(table(times))
    asked = ["run", SINE, "--series", "h.csv", "--steps", "2"]
    content = json.loads(here(*asked, "--json").out)
    assert content["times"][0] == first
    assert len(content["times"]) == len(content["forecast"]) == 2
    result = here(*asked, "--out", "f.csv")
    assert result.err == "written: f.csv\n"
    rows = result.out.splitlines()[-2:]
    assert [row.rpartition(" ")[0].strip() for row in rows] == content["times"]
    assert [line.split(",")[1] for line in Path("f.csv").read_text().splitlines()] == [
        "ds",
        *content["times"],
    ]


def test_the_file_has_what_is_printed_and_is_read_again_as_a_history(here: Here) -> None:
    Path("h.csv").write_text(table(FOLLOWING["days"][0]))
    asked = ["run", SINE, "--history", "h.csv", "--steps", "5", "--samples", "40", "--seed", "1"]
    content = json.loads(here(*asked, "--out", "f.csv", "--json").out)
    found = pd.read_csv("f.csv")
    assert list(found) == ["unique_id", "ds", "y", "y 10%", "y 50%", "y 90%"]
    assert found["unique_id"].tolist() == ["value"] * 5
    assert found["y"].tolist() == pytest.approx(np.ravel(content["forecast"]), rel=1e-6)
    quantiles = found[["y 10%", "y 50%", "y 90%"]].to_numpy().T
    np.testing.assert_allclose(quantiles, np.array(content["quantiles"])[:, :, 0], rtol=1e-6)
    assert content["levels"] == [0.1, 0.5, 0.9]
    found[["unique_id", "ds", "y"]].to_csv("again.csv", index=False)
    again = json.loads(here("run", SINE, "--series", "again.csv", "--steps", "1", "--json").out)
    assert again["times"] == [str(pd.Timestamp(content["times"][-1]).date() + pd.Timedelta("1D"))]


def test_one_of_several_series_is_forecast_by_its_id(here: Here) -> None:
    days = FOLLOWING["days"][0]
    both = table(days, unique_id="north") + table(days, unique_id="south").partition("\n")[2]
    Path("h.csv").write_text(both)
    asked = ["run", SINE, "--series", "h.csv", "--steps", "3"]
    here(*asked).one_line_error("2 series", "the rows of one", "by its id")
    assert here(*asked, "--id", "south", "--out", "f.csv").code == 0
    assert pd.read_csv("f.csv")["unique_id"].unique().tolist() == ["south"]
    here(*asked, "--id", "soth").one_line_error("'soth'", "did you mean 'south'")
    assert json.loads(here(*asked, "--id", "unique_id=north", "--json").out)["id"] == "north"


def test_a_history_without_times_is_answered_by_steps(here: Here) -> None:
    Path("h.csv").write_text("value\n" + "".join(f"{value}\n" for value in WAVE))
    asked = ["run", SINE, "--history", "h.csv", "--steps", "2", "--out", "f.csv", "--json"]
    assert json.loads(here(*asked).out)["times"] is None
    assert pd.read_csv("f.csv")["ds"].tolist() == [30, 31]  # rows, after 0 to 29


@pytest.mark.parametrize(
    ("lines", "options", "code", "words"),
    [
        ("ds,y\n2024-01-01,1\n2024-02-30,2\n", [], 3, ["row 3", "'2024-02-30' is not a time"]),
        ("ds,y\n2024-01-01,1\n2024-01-01,2\n", [], 3, ["row 3", "stands in row 2 already"]),
        ("ds,y\n2024-01-01,1\n,2\n", [], 3, ["row 3", "the time is missing"]),
        ("ds,y\n2024-01-01,1\n", [], 2, ["h.csv has one row", "give two rows"]),
        (
            "ds,y\n9999-12-30,1\n9999-12-31,2\n",
            ["--steps", "999999"],
            2,
            ["leave the calendar", "give fewer"],
        ),
        ("y\n1\n", ["--out", "f.svg"], 2, ["--out f.svg", ".csv", "--plot"]),
    ],
)
def test_times_that_cannot_go_on_are_one_line(
    here: Here, lines: str, options: list[str], code: int, words: list[str]
) -> None:
    Path("h.csv").write_text(lines)
    result = here("run", SINE, "--series", "h.csv", *options)
    assert (result.code, result.out) == (code, "")
    result.one_line_error(*words)


def test_charts_show_the_dates(here: Here) -> None:
    Path("h.csv").write_text(table(FOLLOWING["days"][0]))
    asked = ["run", SINE, "--history", "h.csv", "--steps", "4", "--plot"]
    ticks = here(*asked, "-").out.split("Forecast")[0].splitlines()[-2]
    assert FOLLOWING["days"][1] in ticks
    assert here(*asked, "fan.svg").code == 0
    assert "steps after the history" not in Path("fan.svg").read_text()


@pytest.mark.parametrize("width", [30, 60])
def test_a_chart_with_dates_fits_its_width(width: int) -> None:
    column = pd.Series(pd.date_range("2024-01-01", periods=30))
    times = in_time(pd.DataFrame({"y": WAVE}), column, None, False, Path("h"))[1]
    past = History(("y",), WAVE[:, None], "ds", times)
    made = Forecast(past, WAVE[:9, None], np.zeros((0, 9, 1), np.float32), past.ahead(9))
    lines = terminal_chart(made, 0, width).plain.splitlines()
    assert max(map(len, lines)) <= width
    assert "2024-01-31" in lines[-2]


def test_a_forecast_in_python_refuses_one_row_with_a_time(
    tiny_bundle: Callable[[str], Bundle],
) -> None:
    frame = pd.DataFrame({"ds": ["2024-01-01"], "y": [1.0]})
    with refused(UsageError, "has one row", "leave the times out"):
        load(tiny_bundle(SINE).folder).forecast(frame, 3)


def test_texts_of_times_are_as_short_as_they_can_be() -> None:
    seconds = pd.DatetimeIndex(["2024-01-01 00:00:01", "2024-01-01 00:00:02"])
    assert time_texts(seconds) == ["2024-01-01 00:00:01", "2024-01-01 00:00:02"]
    assert time_texts(pd.Index([0.1, 0.1 + 0.2])) == ["0.1", "0.3"]
