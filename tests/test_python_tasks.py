"""``import pipeline``: text, and forecasts of data frames."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command_line import Here
from hypothesis import given
from hypothesis import strategies as st
from python_bundles import CHAR, SINE, TWO, WAVE, close
from tiny import installed, refused

import pipeline as api
from pipeline.data.clock import in_time
from pipeline.errors import (
    MalformedError,
    PipelineError,
    UsageError,
)

PLACE = Path("a.csv")


# --- text


def test_a_text_is_that_of_the_command(at_work: Path, char: api.Bundle, pipeline: Here) -> None:
    arguments = ["--prompt", "the ", "--length", "50", "--temperature", "0.7", "--top-k", "9"]
    arguments += ["--top-p", "0.9", "--seed", "3", "--json"]
    told = json.loads(pipeline("run", str(at_work / CHAR), *arguments).out)
    made = char.generate("the ", 50, temperature=0.7, top_k=9, top_p=0.9, seed=3)
    assert made == told["texts"][0]["text"]
    assert len(made) == 50
    assert char.generate("the ", 50, temperature=0.7, top_k=9, top_p=0.9, seed=4) != made
    assert char.generate("Ж", 0) == ""


def test_the_likeliest_text_is_what_a_stream_says(char: api.Bundle) -> None:
    stream, text = char.stream(), ""
    assert char.vocabulary is not None
    logits = stream("the ")
    for _ in range(20):
        text += char.vocabulary[int(logits[0, -1, 1:].argmax())]
        logits = stream(text[-1])
    assert char.generate("the ", 20, temperature=0) == text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"length": -1}, ["length is -1", "from 0 up"]),
        ({"length": 2.5}, ["length is 2.5", "whole number"]),
        ({"temperature": -0.1}, ["temperature is -0.1", "from 0 up"]),
        ({"temperature": float("nan")}, ["temperature is nan"]),
        ({"temperature": float("inf")}, ["temperature is inf"]),
        ({"temperature": "hot"}, ["temperature is 'hot'"]),
        ({"top_k": -1}, ["top_k is -1"]),
        ({"top_p": 0}, ["top_p is 0"]),
        ({"top_p": 1.1}, ["top_p is 1.1", "from 0 to 1"]),
        ({"seed": -1}, ["seed is -1"]),
        ({"prompt": b"a"}, ["prompt is bytes"]),
        ({"prompt": "\udcff"}, ["prompt: not Unicode at character 0"]),
    ],
    ids=str,
)
def test_settings_of_a_text_out_of_their_range_are_refused(
    char: api.Bundle, arguments: dict[str, Any], words: list[str]
) -> None:
    with refused(UsageError, *words):
        char.generate(**{"prompt": "a"} | arguments)


def test_each_task_has_its_own_call(char: api.Bundle, sine: api.Bundle) -> None:
    with refused(UsageError, "sine-gru is a series model", "use forecast"):
        sine.generate("a")
    with refused(UsageError, "char-lstm is a text model", "use generate"):
        char.forecast(WAVE)


# --- series


def test_a_forecast_is_that_of_the_command(at_work: Path, sine: api.Bundle, pipeline: Here) -> None:
    rows = "".join(f"{value:.9g}\n" for value in WAVE)
    Path("wave.csv").write_text(f"value\n{rows}")
    arguments = [
        "--history",
        "wave.csv",
        "--steps",
        "6",
        "--samples",
        "20",
        "--seed",
        "5",
        "--json",
    ]
    told = json.loads(pipeline("run", str(at_work / SINE), *arguments).out)
    made = sine.forecast(pd.DataFrame({"value": WAVE}), steps=6, samples=20, seed=5)
    assert list(made.columns) == ["value", "value 10%", "value 50%", "value 90%"]
    assert made["value"].tolist() == np.ravel(told["forecast"]).tolist()
    close(made.to_numpy()[:, 1:].T, np.array(told["quantiles"])[:, :, 0])
    assert list(made.index) == list(range(40, 46))


def test_a_history_comes_in_any_form(two: api.Bundle) -> None:
    values = np.stack([WAVE, 50 + WAVE], axis=1)
    frame = pd.DataFrame({"note": "x", "b": values[:, 1], "a": values[:, 0]})
    expected = two.forecast(frame, steps=3)
    assert list(expected.columns) == ["a", "b"]
    for form in (
        {"a": values[:, 0], "b": list(values[:, 1])},
        values,
        values.tolist(),
        frame.set_axis(np.arange(40) + 7, axis=0),
    ):
        pd.testing.assert_frame_equal(two.forecast(form, steps=3), expected)
    table = installed("pyarrow").table({"b": values[:, 1], "a": values[:, 0]})
    pd.testing.assert_frame_equal(two.forecast(table, steps=3), expected)
    close(two.stream()(values[None])[0, -1], expected.to_numpy()[0])


def test_a_single_column_needs_no_name(sine: api.Bundle) -> None:
    expected = sine.forecast(pd.DataFrame({"any": WAVE}), steps=3)
    for form in (WAVE, WAVE[:, None], pd.Series(WAVE), pd.Series(WAVE, name="any"), [*WAVE]):
        made = sine.forecast(form, steps=3)
        assert np.array_equal(made.to_numpy(), expected.to_numpy())
        assert list(made.columns) == [getattr(form, "name", None) or "y"]


DATES = {
    "months": pd.date_range("2023-11-01", periods=15, freq="MS"),
    "ends of months": pd.date_range("2023-05-31", periods=15, freq="ME"),
    "quarters": pd.date_range("2020-01-15", periods=9, freq=pd.DateOffset(months=3)),
    "years": pd.date_range("2000-12-31", periods=9, freq="YE"),
    "weeks": pd.date_range("2024-01-07", periods=9, freq="W"),
    "business days": pd.date_range("2024-01-01", periods=15, freq="B"),
    "days": pd.date_range("2024-02-20", periods=15, freq="D"),
    "quarters of hours": pd.date_range("2024-02-28 23:00", periods=15, freq="15min"),
    "midnights of a zone": pd.date_range("2024-03-20", periods=15, freq="D", tz="Europe/Berlin"),
    "hours of a zone": pd.date_range("2024-03-30 20:00", periods=15, freq="h", tz="Europe/Berlin"),
    "months of a zone": pd.date_range("2024-01-01", periods=9, freq="MS", tz="America/New_York"),
}
AHEAD = 5


@pytest.mark.parametrize("kind", DATES)
def test_the_dates_follow_in_the_index_or_in_their_column(sine: api.Bundle, kind: str) -> None:
    dates = DATES[kind]
    values = WAVE[: len(dates) - AHEAD]
    history, following = dates[:-AHEAD].rename("when"), dates[-AHEAD:]
    in_index = sine.forecast(pd.Series(values, index=history, name="load"), AHEAD)
    assert (in_index.index.name, in_index.columns.tolist()) == ("when", ["load"])
    assert in_index.index.tolist() == following.tolist()
    assert in_index.index.tz == dates.tz
    in_column = sine.forecast(pd.DataFrame({"when": history, "load": values}), AHEAD)
    assert in_column.columns.tolist() == ["when", "load"]
    assert in_column["when"].tolist() == following.tolist()
    assert np.array_equal(in_column["load"], in_index["load"])


def test_dates_may_be_words_numbers_or_periods(sine: api.Bundle) -> None:
    def following(times: Any) -> list[Any]:
        found = sine.forecast(pd.DataFrame({"time": times, "y": WAVE[: len(times)]}), 2)
        return list(found["time"])

    assert following(["2024-01-30", "2024-01-31"]) == [*pd.date_range("2024-02-01", periods=2)]
    assert following([20240130, 20240131]) == [*pd.date_range("2024-02-01", periods=2)]
    assert following([2001, 2002, 2003]) == [2004, 2005]
    assert following([0.5, 1.0, 1.5]) == [2.0, 2.5]
    words = pd.Series(WAVE[:3], index=["2024-01-29", "2024-01-30", "2024-01-31"])
    assert sine.forecast(words, 1).index.tolist() == [pd.Timestamp("2024-02-01")]
    months = pd.Series(WAVE[:3], index=pd.period_range("2023-12", periods=3, freq="M"))
    assert sine.forecast(months, 2).index.equals(pd.period_range("2024-03", periods=2, freq="M"))


def test_rows_may_stand_in_any_order(sine: api.Bundle) -> None:
    dates = pd.date_range("2024-01-01", periods=20)
    frame = pd.DataFrame({"value": WAVE[:20]}, index=dates)
    shuffled = frame.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(sine.forecast(shuffled, 3), sine.forecast(frame, 3))


@given(
    start=st.datetimes(datetime(1980, 1, 1), datetime(2030, 1, 1)),
    step=st.integers(1, 27 * 86_400).map(lambda seconds: timedelta(seconds=seconds)),
    rows=st.integers(2, 6),
    steps=st.integers(0, 5),
)
def test_times_at_an_even_step_below_a_month_go_on_at_it(
    start: datetime, step: timedelta, rows: int, steps: int
) -> None:
    start = start.replace(microsecond=0)
    every = [start + count * step for count in range(rows + steps)]
    values, column = pd.DataFrame({"y": WAVE[:rows]}), pd.Series(every[:rows])
    found = in_time(values, column, None, False, PLACE)[1].following(steps)
    assert found.tolist() == [pd.Timestamp(time) for time in every[rows:]]


def test_dates_beyond_those_that_pandas_has_are_refused(sine: api.Bundle) -> None:
    late = pd.date_range("9999-01-01", periods=10, freq="MS", unit="us")
    with refused(UsageError, "9 steps of 1 month", "leave the calendar", "give fewer"):
        sine.forecast(pd.Series(WAVE[:10], index=late), steps=9)


@pytest.mark.parametrize(
    ("step", "times", "following"),
    [
        ("B", ["2024-01-04 09:00", "2024-01-05 12:00", "2024-01-05 18:00"], "2024-01-08"),
        ("MS", ["2023-12-04 09:00", "2024-01-05 12:00", "2024-01-05 18:00"], "2024-02-01"),
    ],
)
def test_averages_follow_the_steps_that_they_were_made_on(
    step: str, times: list[str], following: str
) -> None:
    values, column = pd.DataFrame({"y": [1.0, 2, 4]}), pd.Series(pd.to_datetime(times))
    found = in_time(values, column, step, False, PLACE)[1]
    assert found.following(1).tolist() == [pd.Timestamp(following)]


def test_quantiles_stand_beside_each_target(two: api.Bundle) -> None:
    history = np.stack([WAVE, 50 + WAVE], axis=1)
    made = two.forecast(history, steps=4, samples=200, seed=1)
    assert made.shape == (4, 8)
    for name in ("a", "b"):
        low, middle, high = (made[f"{name} {share}%"] for share in (10, 50, 90))
        assert (low < middle).all()
        assert (middle < high).all()
    pd.testing.assert_frame_equal(two.forecast(history, steps=4, samples=200, seed=1), made)
    assert two.forecast(history, steps=0, samples=3).shape == (0, 8)


LATE = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-05"])


@pytest.mark.parametrize(
    ("name", "frame", "error", "words"),
    [
        (TWO, {"a": WAVE, "c": WAVE}, UsageError, ["'b'", "choose from a, c"]),
        (TWO, WAVE, UsageError, ["'a'", "choose from y"]),
        (SINE, {"u": WAVE, "v": WAVE}, UsageError, ["2 columns", "u, v", "reads 1"]),
        (SINE, np.zeros((4, 1, 1)), MalformedError, ["is no table"]),
        (SINE, {"u": [1, 2], "v": [1]}, MalformedError, ["is no table"]),
        (SINE, "wave.csv", MalformedError, ["is no table"]),
        (SINE, [], MalformedError, ["no rows"]),
        (SINE, [1.0, np.nan, 2.0], MalformedError, ["row 1", "column 'y'", "is missing"]),
        (SINE, [1.0, np.inf], MalformedError, ["row 1", "not finite"]),
        (SINE, {"load": ["1", "x"]}, MalformedError, ["row 1", "'x' is not a number"]),
        (SINE, pd.Series([1.0], index=LATE[:1]), UsageError, ["one row", "time between two steps"]),
        (SINE, pd.Series(range(4), index=LATE), MalformedError, ["row 3", "2 steps after row 2"]),
        (SINE, pd.Series([1, 2], index=LATE[[0, 0]]), MalformedError, ["stands in row 0 already"]),
        (SINE, pd.DataFrame([[1, 2]], columns=["u", "u"]), MalformedError, ["two columns", "'u'"]),
    ],
)
def test_a_history_that_does_not_fit_is_refused_with_its_place(
    at_work: Path, name: str, frame: Any, error: type[PipelineError], words: list[str]
) -> None:
    with refused(error, *words):
        api.load(name, at_work).forecast(frame, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": -1}, ["steps is -1"]),
        ({"samples": "few"}, ["samples is 'few'"]),
        ({"seed": 0.5}, ["seed is 0.5"]),
        ({"steps": 10**6, "samples": 10**6}, ["over 50,000,000", "give fewer"]),
    ],
)
def test_a_forecast_that_cannot_be_is_refused_before_it_is_made(
    sine: api.Bundle, arguments: dict[str, Any], words: list[str]
) -> None:
    with refused(UsageError, *words):
        sine.forecast(WAVE, **arguments)
