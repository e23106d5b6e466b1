"""A sample stands for long data: its scores are those of the stretches that are read."""

import math
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import data_of, new_trainer, series_config, slow_free_run, text_config, trained
from torch.nn import functional

from pipeline.contract.records import SeriesScores, TextScores
from pipeline.data import Series, Text
from pipeline.model import CodePointTable
from pipeline.train import ahead, ngrams, scores
from pipeline.train.ngrams import ngram_bits
from pipeline.train.scores import score


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

    def off_at(start: int, stride: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """The steps of 16 stretches, and how much a forecast of each is off."""
        places = [(start + stride * k + i, start + stride * k) for k in range(16) for i in range(4)]
        off = [after(place, 1, begin)[0] - truth[place] for place, begin in places]
        return np.array([place for place, _ in places]), np.array(off)

    places, off = off_at(600, 400 // 16)
    found = score(network, data)
    assert isinstance(found, SeriesScores)
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
