"""``pipeline run`` of a series: forecasts, quantiles, tables, pictures and charts."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import Here
from run_bundles import HISTORY, SINE, TABLE, piped
from tiny import open_session

from pipeline.run.bundle import load
from pipeline.run.chart import terminal_chart
from pipeline.run.history import History
from pipeline.run.series import Forecast


def test_the_forecast_is_the_core_graph_fed_with_its_own_outputs(
    runnable: Path, pipeline: Here
) -> None:
    result = pipeline("run", SINE, "--history", "sine.csv", "--steps", "6", "--json")
    session = open_session(runnable / SINE / "onnx/model.onnx")
    given, state = HISTORY[None, :, None], load(runnable / SINE).stream().state
    values = []
    for _ in range(6):
        output, state = session.run(None, {"input": given, "state": state})
        given = output[:, -1:]
        values.append(float(given[0, 0, 0]))
    content = json.loads(result.out)
    assert np.ravel(content["forecast"]) == pytest.approx(values, abs=1e-5)
    assert (content["columns"], content["read"], content["quantiles"]) == (["value"], 40, None)


def test_samples_give_quantiles_that_come_again_with_the_seed(
    runnable: Path, pipeline: Here
) -> None:
    arguments = ["run", SINE, "--history", "sine.csv", "--steps", "8", "--samples", "64", "--json"]
    first = pipeline(*arguments, "--seed", "4").out
    assert pipeline(*arguments, "--seed", "4").out == first
    assert pipeline(*arguments, "--seed", "5").out != first
    low, middle, high = np.array(json.loads(first)["quantiles"])
    assert low.shape == (8, 1)
    assert (low < middle).all()
    assert (middle < high).all()
    assert "--seed" in pipeline(*arguments).err


def test_the_table_has_a_row_for_each_step(runnable: Path, pipeline: Here) -> None:
    result = pipeline(
        "run", SINE, "--history", "sine.csv", "--steps", "3", "--samples", "9", "--seed", "1"
    )
    rows = [line.split() for line in result.out.splitlines()[-3:]]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    head = next(line for line in result.out.splitlines() if "step" in line)
    assert [word in head for word in ("value", "10 %", "50 %", "90 %")] == [True] * 4


def test_a_history_may_be_piped_in(
    runnable: Path, pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = pipeline("run", SINE, "--history", "sine.csv").out
    for arguments in ([], ["--history", "-"]):
        piped(monkeypatch, TABLE.encode())
        assert pipeline("run", SINE, *arguments).out == told


def test_no_steps_are_no_forecast(runnable: Path, pipeline: Here) -> None:
    arguments = ["run", SINE, "--history", "sine.csv", "--steps", "0"]
    for samples in ("0", "5"):
        result = pipeline(*arguments, "--samples", samples, "--plot", "-")
        assert (result.code, result.err) == (0, "")
    assert json.loads(pipeline(*arguments, "--json").out)["forecast"] == []


def test_the_same_forecast_is_the_same_picture(runnable: Path, pipeline: Here) -> None:
    arguments = ["run", SINE, "--history", "sine.csv", "--samples", "20", "--seed", "1", "--plot"]
    for name in ("a.svg", "b.svg", "c.png", "d.pdf"):
        assert pipeline(*arguments, name).err == f"drawn: {name}\n"
    assert Path("a.svg").read_bytes() == Path("b.svg").read_bytes()
    assert Path("c.png").read_bytes().startswith(b"\x89PNG")
    assert Path("d.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("steps", [1, 20, 5000])
@pytest.mark.parametrize("width", [30, 100])
def test_a_chart_fits_its_width_and_shows_line_and_band(steps: int, width: int) -> None:
    history = np.sin(np.arange(200, dtype=np.float32))[:, None]
    values = np.zeros((steps, 1), np.float32)
    paths = np.stack([values - 1, values, values + 1])
    past = History(("y",), history, None, None)
    made = Forecast(past, values, paths, past.ahead(steps))
    lines = terminal_chart(made, 0, width).plain.split("\n")
    assert lines[0] == "y, raw units"
    assert max(map(len, lines)) <= width
    assert any("░" in line for line in lines)
    assert any(character in line for line in lines for character in "▀▄█")
    assert "0.99" in lines[1]


def test_a_chart_of_a_constant_is_a_flat_line() -> None:
    flat = np.full((5, 1), 7, np.float32)
    past = History(("y",), flat, None, None)
    made = Forecast(past, flat, np.zeros((0, 5, 1), np.float32), past.ahead(5))
    drawn = [line for line in terminal_chart(made, 0, 60).plain.split("\n") if "▄" in line]
    assert [line.count("▄") for line in drawn] == [10]


def test_several_targets_each_have_columns_and_a_chart(pipeline: Here) -> None:
    noise = np.random.default_rng(0).normal(size=(120, 2)).cumsum(axis=0)
    rows = "".join(f"{b},{a}\n" for a, b in noise)
    Path("two.csv").write_text(f"sun,rain\n{rows}")
    small = ["--cell", "rnn", "--hidden-size", "4", "--epochs", "1", "--name", "two"]
    targets = ["--target", "rain", "--target", "sun"]
    assert pipeline("train", "--series", "two.csv", *targets, *small).code == 0
    assert pipeline("export", "two", "--exported", "plain").code == 0
    shutil.copytree("plain/two", "exported/two")
    arguments = ["--history", "two.csv", "--steps", "4", "--samples", "5", "--seed", "1"]
    result = pipeline("run", "two", *arguments, "--plot", "-")
    assert result.out.index("rain, raw units") < result.out.index("sun, raw units")
    content = json.loads(pipeline("run", "two", *arguments, "--plot", "fan.svg", "--json").out)
    assert content["columns"] == ["rain", "sun"]
    assert np.shape(content["forecast"]) == (4, 2)
    assert np.shape(content["quantiles"]) == (3, 4, 2)
