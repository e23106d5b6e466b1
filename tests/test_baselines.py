"""Baselines of statsforecast are fitted before the test part, and never see what they forecast."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Here
from tiny import installed

from pipeline.checkpoint.store import read_checkpoint
from pipeline.cli import baselines as command
from pipeline.contract.records import SeriesScores
from pipeline.data import Series
from pipeline.train import baselines
from pipeline.train.baselines import baseline, forecasts

ORIGINS = np.array([160, 170])
TRAINED = ["--cell", "rnn", "--hidden-size", "4", "--epochs", "1", "--name", "few"]


def wave(period: int, noise: float = 0.1, length: int = 200) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    found: np.ndarray[Any, Any] = np.sin(np.arange(length) * 2 * np.pi / period)
    return found + noise * rng.normal(size=length)


def called(function: Any, *arguments: Any) -> Any:
    return function(*arguments)


@pytest.fixture
def series() -> Series:
    values = wave(6).astype(np.float32)[:, None]
    return Series(values, season=6, held_out=values, horizon=12)


@pytest.mark.parametrize("name", ["AutoETS", "AutoARIMA"])
@pytest.mark.parametrize("period", [6, 40])
def test_a_forecast_is_good_and_does_not_depend_on_what_comes_after(name: str, period: int) -> None:
    installed("statsforecast")
    column = wave(period)
    one, free = forecasts(name, column, 160, period, ORIGINS, 8)
    assert (one.shape, free.shape) == ((40,), (2, 8))
    assert np.abs(one - column[160:]).mean() < 0.3
    assert np.abs(free - np.stack([column[o : o + 8] for o in ORIGINS])).mean() < 0.3
    other = column.copy()
    other[170:] = 50.0
    others = forecasts(name, other, 160, period, ORIGINS, 8)
    np.testing.assert_allclose(others[0][:11], one[:11])  # steps 160 to 170 see nothing of it
    np.testing.assert_allclose(others[1], free)
    if period == 6:  # of a longer one, the season before may be all that it goes by
        assert not np.allclose(others[0][11:], one[11:], atol=1e-3)
    np.testing.assert_allclose(free[:, 0], one[[0, 10]], atol=1e-6)


def test_errors_of_a_baseline_are_counted_on_the_test_part(series: Series) -> None:
    installed("statsforecast")
    found = baseline("AutoETS", series, called)
    column = series.values[:, 0].astype(np.float64)
    one, free = forecasts("AutoETS", column, 160, 6, np.array([160, 170, 180]), 12)
    assert found.one_step.mae == pytest.approx(np.abs(one - column[160:]).mean())
    truth = np.stack([column[o : o + 12] for o in (160, 170, 180)])
    assert found.free_run.rmse == pytest.approx(np.sqrt(((free - truth) ** 2).mean()))
    assert found.fitted_steps == 160


def train(pipeline: Here, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, SeriesScores]:
    monkeypatch.setattr(baselines, "NAMES", ("AutoETS",))
    Path("s.csv").write_text("y\n" + "".join(f"{value:.6f}\n" for value in wave(6)))
    result = pipeline("train", "--series", "s.csv", "--season", "6", *TRAINED)
    assert result.code == 0, result.err
    record = read_checkpoint(Path("checkpoints/few")).training
    assert record is not None
    assert isinstance(record.scores, SeriesScores)
    return result, record.scores


def test_training_shows_and_records_them(pipeline: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    installed("statsforecast")
    result, scores = train(pipeline, monkeypatch)
    assert [one.name for one in scores.baselines] == ["AutoETS"]
    assert f"{scores.baselines[0].one_step.rmse:.4f}" in result.out
    assert scores.baselines[0].one_step.rmse < scores.one_step_persistence.rmse


def test_one_line_tells_that_they_are_not_installed(
    pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "are_installed", lambda: False)
    result, scores = train(pipeline, monkeypatch)
    assert scores.baselines == ()
    assert "AutoETS are not scored, since statsforecast is not installed" in result.err
    assert "statsforecast>=2.0.1" in result.err


def test_a_long_series_and_a_slow_model_are_left_out_in_one_line(
    pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "are_installed", lambda: True)
    monkeypatch.setattr(baselines, "LONGEST", 199)
    result, scores = train(pipeline, monkeypatch)
    assert "the series has 200 steps, and they are for 199 at most" in result.err
    monkeypatch.setattr(baselines, "LONGEST", 200)
    monkeypatch.setattr(command, "TIME_LIMIT", 0.01)
    Path("checkpoints/few/checkpoint.json").unlink()
    result, scores = train(pipeline, monkeypatch)
    assert "AutoETS is not scored: hangs: no answer within 0.01 s" in result.err
    assert scores.baselines == ()
