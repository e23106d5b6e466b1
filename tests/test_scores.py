import math
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import data_of, new_trainer, series_config, text_config, trained
from torch.nn import functional

from pipeline.config import CELLS, PRESETS, Config, override, with_columns
from pipeline.contract.records import SeriesScores, TextScores
from pipeline.data import Series, Text
from pipeline.model import CodePointTable, Network
from pipeline.train import ahead, ngrams, scores
from pipeline.train.ngrams import ngram_bits
from pipeline.train.scores import (
    FREE_RUN,
    free_run,
    score,
)


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


def slow_free_run(
    network: Network, values: np.ndarray[Any, Any], origin: int, steps: int
) -> list[float]:
    """The forecast from ``origin`` by reading the whole history again at every step."""
    history = values[:origin]
    for _ in range(steps):
        with torch.no_grad():
            output, _ = network(torch.from_numpy(history)[None], network.zero_state(1))
        history = np.concatenate([history, output[0, -1:].numpy()])
    forecast: list[float] = history[origin:, 0].tolist()
    return forecast


@pytest.mark.parametrize("cell", CELLS)
def test_free_run_is_that_of_a_loop_that_reads_the_history_again(cell: str) -> None:
    config = series_config(cell, num_layers=2)
    data = data_of(config)
    assert isinstance(data, Series)
    network = trained(config).best_network()
    origins = np.array([1, 2, 40, 47, 180])
    with torch.no_grad():
        found = free_run(network, data.values, origins, 12)
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
        free = free_run(network, data.values, np.array([160]), 40)
    assert free.shape == (1, 40, 2)
    assert scores.free_run is not None
    errors = np.abs(free[0] - data.values[160:])
    assert scores.free_run.mae == pytest.approx(errors.mean(), rel=1e-4)
    scales = np.abs(np.diff(data.train, axis=0)).mean(axis=0)
    assert scores.free_run.mase == pytest.approx((errors.mean(axis=0) / scales).mean(), rel=1e-4)


def test_horizon_is_how_far_a_free_run_goes() -> None:
    data, config = table_of(targets=2, horizon=12)
    assert scores_of(data, new_trainer(config, data).network).free_run_steps == 12


# --- texts


def slow_ngram_bits(text: Text, order: int) -> float:
    """Bits per character with ``order`` characters of context, from counts in dictionaries."""
    known = set(text.train)
    symbols = [character if character in known else None for character in text.content]
    grams: Counter[tuple[str | None, ...]] = Counter()
    contexts: Counter[tuple[str | None, ...]] = Counter()
    for i in range(order, len(text.train)):
        grams[tuple(symbols[i - order : i + 1])] += 1
        contexts[tuple(symbols[i - order : i])] += 1
    bits = []
    for i in range(len(text.train), len(symbols)):
        n_gram = grams[tuple(symbols[i - order : i + 1])]
        n_context = contexts[tuple(symbols[i - order : i])]
        bits.append(-math.log2((n_gram + 0.1) / (n_context + 0.1 * (len(known) + 1))))
    return sum(bits) / len(bits)


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.sampled_from("abc"), min_size=20, max_size=200)
    | st.text(st.characters(codec="utf-8"), min_size=20, max_size=100)
)
def test_ngram_bits_are_those_of_plain_counting(content: str) -> None:
    text = Text(content)
    expected = [slow_ngram_bits(text, order) for order in range(6)]
    assert ngram_bits(text) == pytest.approx(expected)


def test_ngram_bits_of_the_reference_in_python_are_those_of_plain_counting() -> None:
    from pydoc_data.topics import topics

    text = Text("\n".join(topics.values())[:20_000])
    expected = [slow_ngram_bits(text, order) for order in range(6)]
    assert ngram_bits(text) == pytest.approx(expected)
    assert min(expected) < expected[0] - 1


def text_scores(text: Text) -> tuple[TextScores, torch.Tensor, torch.Tensor]:
    """Scores of a small network, its logits over the validation part, and the targets."""
    config = text_config("lstm", epochs=1)
    network = trained(config, text).best_network()
    points = torch.tensor([ord(character) for character in text.validation])[None]
    with torch.no_grad():
        logits, _ = network(points[:, :-1], network.zero_state(1))
        targets = CodePointTable(text.vocabulary)(points[0, None, 1:]).long()[0]
    scores = score(network, text)
    assert isinstance(scores, TextScores)
    return scores, logits[0], targets


@pytest.mark.parametrize("length", [100, 50_000], ids=["one chunk", "two chunks"])
def test_scores_of_a_text_are_those_of_one_pass_over_its_validation_part(length: int) -> None:
    letters = random.Random(0).choices("aabcd ", k=length)
    scores, logits, targets = text_scores(Text("".join(letters)))
    loss = float(functional.cross_entropy(logits.double(), targets))
    assert scores.loss == pytest.approx(loss, rel=1e-5)
    assert scores.bits_per_character == pytest.approx(loss / math.log(2), rel=1e-5)
    hits = (logits.argmax(dim=1) == targets).double().mean()
    assert scores.accuracy == pytest.approx(float(hits), abs=1e-3)
    assert len(scores.ngram_bits) == 6


def test_characters_that_training_never_saw_count_as_the_unknown_entry() -> None:
    scores, logits, targets = text_scores(Text("ab" * 90 + "xyz " * 5))
    assert not targets.any()
    assert scores.loss == pytest.approx(-float(logits.log_softmax(dim=1)[:, 0].mean()), rel=1e-5)


# --- long data: a sample stands for it


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than 64 steps are long, so that tests need not be: 16 stretches of 4 are read."""
    for module in (ahead, scores):
        monkeypatch.setattr(module, "WHOLE", 64)
        monkeypatch.setattr(module, "_LEAD", 20)
    monkeypatch.setattr(ahead, "_WINDOWS", 10)


@pytest.mark.parametrize("chunk", [1, 5, 4096])
def test_long_text_is_scored_on_stretches_as_if_it_were_read_from_before_each(
    short: None, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(ahead, "_CHUNK", chunk)
    text = Text("".join(random.Random(0).choices("aabcd ", k=3030)))
    network = trained(text_config("lstm", epochs=1), text).best_network()
    points = torch.from_numpy(text.points).long()
    first, stride = len(text.train) + 20, (303 - 20) // 16
    losses, hits = [], []
    for start in range(first, first + 16 * stride, stride):
        with torch.no_grad():
            logits, _ = network(points[None, start - 20 : start + 3], network.zero_state(1))
        targets = CodePointTable(text.vocabulary)(points[None, start : start + 4]).long()[0]
        losses += functional.cross_entropy(logits[0, 19:], targets, reduction="none").tolist()
        hits += (logits[0, 19:].argmax(dim=1) == targets).tolist()
    found = score(network, text)
    assert isinstance(found, TextScores)
    assert len(losses) == 64
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert found.accuracy == pytest.approx(np.mean(hits))


def test_validation_loss_of_a_long_text_is_that_of_sixteen_stretches_from_zeros(
    short: None,
) -> None:
    text = Text("".join(random.Random(0).choices("aabcd ", k=3030)))
    trainer = new_trainer(text_config("gru"), text)
    points = torch.from_numpy(text.points).long()[len(text.train) :]
    losses = []
    with torch.no_grad():
        for start in range(0, 16 * (302 // 16), 302 // 16):
            state = trainer.network.zero_state(1)
            logits, _ = trainer.network(points[None, start : start + 4], state)
            target = CodePointTable(text.vocabulary)(points[None, start + 1 : start + 5])
            losses.append(float(functional.cross_entropy(logits[0], target.long()[0])))
        found = trainer.task.validation_loss(trainer.network)
    assert found == pytest.approx(np.mean(losses), rel=1e-6)


def test_validation_loss_does_not_depend_on_the_chunks_it_is_computed_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = Text("".join(random.Random(0).choices("aabcd ", k=9000)))
    trainer = new_trainer(text_config("lstm"), text)
    with torch.no_grad():
        whole = trainer.task.validation_loss(trainer.network)
        monkeypatch.setattr(ahead, "_NUMBERS", 16 * 7 * 5)  # five steps of sixteen rows
        assert trainer.task.validation_loss(trainer.network) == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("counted", [50, 10**6])
def test_ngrams_of_a_long_text_are_counted_before_and_scored_on_the_stretches(
    short: None, monkeypatch: pytest.MonkeyPatch, counted: int
) -> None:
    monkeypatch.setattr(ngrams, "_COUNTED", counted)
    text = Text("".join(random.Random(0).choices("aabcd ", k=3030)))
    split, stride = len(text.train), (303 - 20) // 16
    train = text.train[-counted:]
    for order, found in enumerate(ngram_bits(text)):
        grams = Counter(train[i - order : i + 1] for i in range(order, len(train)))
        contexts = Counter(train[i - order : i] for i in range(order, len(train)))
        bits = []
        for start in range(split + 20, split + 20 + 16 * stride, stride):
            for i in range(start, start + 4):
                context = text.content[i - order : i]
                n, of = grams[context + text.content[i]], contexts[context]
                bits.append(-math.log2((n + 0.1) / (of + 0.1 * 6)))
        assert found == pytest.approx(np.mean(bits)), order


def test_long_text_is_read_by_windows_at_even_steps(short: None) -> None:
    text = Text("".join(random.Random(0).choices("aabcd ", k=1000)))
    options = {"bidirectional": True, "readout": "final", "epochs": 1}
    network = trained(text_config("gru", **options), text).best_network()
    points = torch.from_numpy(text.points).long()
    losses = []
    for place in range(900, 1000, 10):
        with torch.no_grad():
            logits, _ = network(points[None, place - 16 : place], network.zero_state(1))
        target = CodePointTable(text.vocabulary)(points[None, place : place + 1]).long()[0]
        losses.append(float(functional.cross_entropy(logits[0, -1:], target)))
    found = score(network, text, window=16)
    assert isinstance(found, TextScores)
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5)


def test_long_series_is_scored_on_stretches_and_runs_free_from_fewer_origins(
    short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "_ORIGINS_AT_ONCE", 3)
    config = series_config("lstm", length=1000)
    data, network = data_of(config), trained(config).best_network()
    assert isinstance(data, Series)
    truth = data.values[:, 0].astype(np.float64)

    def after(place: int, steps: int, start: int) -> list[float]:
        """A forecast from ``place`` on by one who reads from 20 steps before ``start``."""
        return slow_free_run(network, data.values[start - 20 :], place - start + 20, steps)[:steps]

    def off_at(start: int, stride: int) -> tuple[Array, Array]:
        """The steps of 16 stretches, and how much a forecast of each is off."""
        places = [(start + stride * k + i, start + stride * k) for k in range(16) for i in range(4)]
        off = [after(place, 1, begin)[0] - truth[place] for place, begin in places]
        return np.array([place for place, _ in places]), np.array(off)

    places, off = off_at(600, 400 // 16)
    found = scores_of(data, network)
    tested = places >= 800
    assert found.one_step.rmse == pytest.approx(np.sqrt(np.square(off[tested]).mean()), rel=1e-4)
    assert found.residual_std[0] == pytest.approx(off[~tested].std(), rel=1e-4)
    persistence = [truth[p] - truth[p - 1] for p in places if p >= 800]
    assert found.one_step_persistence.mae == pytest.approx(np.abs(persistence).mean())
    free = np.array([np.array(after(o, 100, o)) - truth[o : o + 100] for o in (800, 840, 880)])
    assert found.free_run is not None
    assert found.free_run.rmse == pytest.approx(np.sqrt(np.square(free).mean()), rel=1e-4)
    trainer = new_trainer(config)
    trainer.network.load_state_dict(network.state_dict())
    _, off = off_at(600, 200 // 16)
    with torch.no_grad():
        loss = trainer.task.validation_loss(trainer.network.eval())
    assert loss == pytest.approx(np.square(off / data.train.std()).mean(), rel=1e-4)
