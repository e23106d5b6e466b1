"""Scores of series are those of slow and plain forecasts, and of errors counted by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from tiny import data_of, new_trainer, series_config, slow_free_run, trained

from pipeline.config import CELLS, PRESETS, Config, override, with_columns
from pipeline.contract.records import SeriesScores
from pipeline.data import Series
from pipeline.model import Network
from pipeline.train.scores import FREE_RUN, at_origins, free_run, score


def series_of(values: Any, season: int = 1) -> Series:
    column = np.asarray(values, dtype=np.float32)[:, None]
    return Series(column, season=season, held_out=column)


Array = np.ndarray[Any, Any]


def scores_of(data: Series, network: Network | None = None) -> SeriesScores:
    result = score(network or new_trainer(series_config()).network, data)
    assert isinstance(result, SeriesScores)
    return result


# --- forecasts that need no network

# 12 steps to train, 4 to validate, 4 to test; the last value breaks the season of 4.
SEASONAL = [0, 1, 2, 3] * 4 + [0, 1, 2, 5]
SCALE = (9 * 1 + 2 * 3) / 11  # mean |step| of the training part


def test_persistence_has_the_errors_counted_by_hand() -> None:
    scores = scores_of(series_of(SEASONAL, season=4))
    one = scores.one_step_persistence  # 3 0 1 2 for 0 1 2 5
    assert one.mae == pytest.approx((3 + 1 + 1 + 3) / 4)
    assert one.rmse == pytest.approx(math.sqrt((9 + 1 + 1 + 9) / 4))
    assert one.mase == pytest.approx(2 / SCALE)
    free = scores.free_run_persistence  # 3 3 3 3 for 0 1 2 5
    assert free.mae == pytest.approx((3 + 2 + 1 + 2) / 4)
    assert free.rmse == pytest.approx(math.sqrt((9 + 4 + 1 + 4) / 4))
    assert free.mase == pytest.approx(2 / SCALE)
    assert scores.free_run_steps == 4


def test_seasonal_naive_has_the_errors_counted_by_hand() -> None:
    scores = scores_of(series_of(SEASONAL, season=4))
    for errors in (scores.one_step_seasonal, scores.free_run_seasonal):  # 0 1 2 3 for 0 1 2 5
        assert errors.mae == pytest.approx(0.5)
        assert errors.rmse == pytest.approx(1.0)
        assert errors.mase == pytest.approx(0.5 / SCALE)


def test_seasonal_naive_of_a_free_run_repeats_the_last_season_that_was_seen() -> None:
    scores = scores_of(series_of([0, 1] * 8 + [1, 1, 0, 0], season=2))
    assert scores.free_run_seasonal.mae == pytest.approx(0.5)  # 0 1 0 1 for 1 1 0 0
    assert scores.one_step_seasonal.mae == pytest.approx(0.75)  # 0 1 1 1 for 1 1 0 0


def test_season_of_one_step_is_persistence() -> None:
    scores = scores_of(series_of(np.random.default_rng(0).normal(size=300)))
    assert scores.one_step_seasonal == scores.one_step_persistence
    assert scores.free_run_seasonal == scores.free_run_persistence


def test_seasonal_naive_of_a_whole_period_is_exact() -> None:
    scores = scores_of(series_of([0, 3, 1, 2, 7] * 100, season=5))
    assert scores.one_step_seasonal.rmse == scores.free_run_seasonal.rmse == 0
    assert scores.one_step_persistence.rmse > 1
    assert scores.free_run_steps == FREE_RUN


# --- the network's forecasts


@pytest.mark.parametrize("cell", CELLS)
def test_free_run_is_that_of_a_loop_that_reads_the_history_again(cell: str) -> None:
    config = series_config(cell, num_layers=2)
    data = data_of(config)
    assert isinstance(data, Series)
    network = trained(config).best_network()
    origins = np.array([1, 2, 40, 47, 180])
    with torch.no_grad():
        found = free_run(network, *at_origins(network, data.values, origins), 12)
    assert found.shape == (5, 12, 1)
    expected = [slow_free_run(network, data.values, int(origin), 12) for origin in origins]
    np.testing.assert_allclose(found[:, :, 0], expected, atol=1e-5)


def test_errors_of_the_network_are_those_of_forecasts_from_the_whole_history() -> None:
    config = series_config("gru")
    data, network = data_of(config), trained(config).best_network()
    assert isinstance(data, Series)
    scores = scores_of(data, network)
    truth, start = data.values[:, 0].astype(np.float64), data.validation_end
    scale = np.abs(np.diff(truth[: data.train_end])).mean()

    one = [slow_free_run(network, data.values, t, 1)[0] - truth[t] for t in range(start, 200)]
    assert scores.one_step.mae == pytest.approx(np.abs(one).mean(), rel=1e-4)
    assert scores.one_step.rmse == pytest.approx(np.sqrt(np.square(one).mean()), rel=1e-4)
    assert scores.one_step.mase == pytest.approx(np.abs(one).mean() / scale, rel=1e-4)

    free = slow_free_run(network, data.values, start, 40) - truth[start:]
    assert scores.free_run_steps == 40
    assert scores.free_run is not None
    assert scores.free_run.rmse == pytest.approx(np.sqrt(np.square(free).mean()), rel=1e-4)


def test_scores_of_a_series_longer_than_one_chunk_are_those_of_one_pass() -> None:
    config = series_config("lstm", length=9000, epochs=1)
    data, network = data_of(config), trained(config).best_network()
    assert isinstance(data, Series)
    with torch.no_grad():
        output, _ = network(torch.from_numpy(data.values)[None, :-1], network.zero_state(1))
    difference = (output[0].numpy() - data.values[1:])[data.validation_end - 1 :]
    rmse = float(np.sqrt(np.square(difference.astype(np.float64)).mean()))
    assert scores_of(data, network).one_step.rmse == pytest.approx(rmse, rel=1e-4)


def test_scores_do_not_depend_on_the_mode_of_the_network() -> None:
    config = series_config("lstm", num_layers=2, dropout=0.5)
    data, network = data_of(config), trained(config).best_network()
    assert score(network.train(), data) == score(network.eval(), data)


# --- several columns


def table_of(length: int = 200, targets: int = 1, **options: Any) -> tuple[Series, Config]:
    """Two columns of different size, the first ``targets`` of them to forecast, and a model."""
    wave = np.sin(np.arange(length))
    values = np.stack([wave, 50 + 10 * np.roll(wave, 1)], axis=1).astype(np.float32)
    data = Series(values, 1, held_out=values, targets=targets, columns=("a", "b"), **options)
    source = {"kind": "series", "file": "a.csv"}
    config = override(PRESETS["sine-gru"], {"source": source, "hidden_size": 4, "epochs": 2})
    return data, with_columns(config, data.columns, targets)


def test_column_that_is_not_forecast_is_read_and_scaled_by_the_training_part() -> None:
    data, config = table_of()
    network = trained(config, data).best_network()
    assert network.scaler is not None
    np.testing.assert_allclose(network.scaler.input_mean, data.train.mean(axis=0), rtol=1e-4)
    assert network.scaler.output_mean == network.scaler.input_mean[:1]
    assert network.scaler.output_std == network.scaler.input_std[:1]
    with torch.no_grad():
        input = torch.from_numpy(data.values)[None]
        output, _ = network(input, network.zero_state(1))
        other, _ = network(input + torch.tensor([0.0, 5.0]), network.zero_state(1))
    assert output.shape == (1, 200, 1)
    assert not torch.allclose(output, other)
    start = data.validation_end
    difference = output[0, start - 1 : -1, 0].numpy() - data.values[start:, 0]
    scores = scores_of(data, network)
    assert scores.one_step.mae == pytest.approx(np.abs(difference).mean(), rel=1e-4)
    persistence = np.abs(np.diff(data.values[start - 1 :, 0])).mean()
    assert scores.one_step_persistence.mae == pytest.approx(persistence, rel=1e-4)


def test_network_that_reads_more_than_it_forecasts_has_no_free_run() -> None:
    data, config = table_of()
    scores = scores_of(data, new_trainer(config, data).network)
    assert scores.free_run is None
    assert scores.free_run_persistence.mae > 0


def test_loss_on_the_validation_part_is_that_of_the_targets_alone() -> None:
    data, config = table_of()
    trainer = new_trainer(config, data)
    changed = data.values.copy()
    changed[data.validation_end - 1, 1] = 1e6  # read by no forecast that counts, and no target
    other = new_trainer(config, Series(changed, 1, held_out=changed, columns=("a", "b")))
    with torch.no_grad():
        losses = [t.task.validation_loss(trainer.network) for t in (trainer, other)]
    assert losses[0] == losses[1]


def test_several_targets_run_free_and_mase_is_the_mean_of_theirs() -> None:
    data, config = table_of(targets=2)
    network = new_trainer(config, data).network.eval()
    scores = scores_of(data, network)
    with torch.no_grad():
        free = free_run(network, *at_origins(network, data.values, np.array([160])), 40)
    assert free.shape == (1, 40, 2)
    assert scores.free_run is not None
    errors = np.abs(free[0] - data.values[160:])
    assert scores.free_run.mae == pytest.approx(errors.mean(), rel=1e-4)
    scales = np.abs(np.diff(data.train, axis=0)).mean(axis=0)
    assert scores.free_run.mase == pytest.approx((errors.mean(axis=0) / scales).mean(), rel=1e-4)


def test_horizon_is_how_far_a_free_run_goes() -> None:
    data, config = table_of(targets=2, horizon=12)
    assert scores_of(data, new_trainer(config, data).network).free_run_steps == 12
