"""Precision, threads and device of a training: chosen, asked for, or refused in one line."""

import math
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from command_line import Here
from tiny import (
    assert_same_result,
    moved,
    new_trainer,
    refused,
    series_config,
    text_config,
    trained,
)

from pipeline.checkpoint import read_checkpoint
from pipeline.config import Config, TextModel
from pipeline.errors import UnavailableError
from pipeline.train import speed
from pipeline.train.speed import choose_device, on_threads, refusals
from pipeline.train.step import train_step


def bfloat16_runs(config: Config) -> bool:
    """Whether PyTorch itself has an LSTM in bfloat16 on this processor, forward and backward."""
    model = config.model
    assert isinstance(model, TextModel)
    layer = torch.nn.LSTM(model.embedding_size, model.hidden_size, batch_first=True)
    input = torch.zeros(config.training.batch_size, config.training.window, layer.input_size)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            output, _ = layer(input)
        output.float().sum().backward()
    except RuntimeError:
        return False
    return True


def test_bfloat16_trains_and_keeps_weights_in_float32_or_says_that_it_cannot() -> None:
    config = text_config("lstm", precision="bfloat16")
    trainer = new_trainer(config)
    if not bfloat16_runs(config):
        with refused(UnavailableError, "bfloat16", "--precision float32"):
            next(trainer.run())
        return
    for _ in trainer.run():
        pass
    assert trainer.precision == "bfloat16"
    assert trainer.history[-1]["validation_loss"] < trainer.history[0]["validation_loss"]
    assert {tensor.dtype for tensor in trainer.best.values()} == {torch.float32}


def test_precision_is_chosen_by_measuring_a_text_and_is_float32_for_a_series() -> None:
    text, series = trained(text_config(precision="auto")), trained(series_config())
    assert text.precision in ("float32", "bfloat16")
    assert series.precision == "float32"


def test_choosing_a_precision_changes_nothing_else() -> None:
    chosen = trained(text_config("gru", precision="auto", num_layers=2, dropout=0.3))
    assert chosen.precision is not None
    given = text_config("gru", precision=chosen.precision, num_layers=2, dropout=0.3)
    assert_same_result(chosen, trained(given))


def without_bfloat16(monkeypatch: pytest.MonkeyPatch, in_training: bool, loss: float = 0) -> None:
    """A processor on which bfloat16 fails in a step or in what follows it, or gives ``loss``."""

    def failing_step(network: Any, optimizer: Any, *given: Any) -> Any:
        result = train_step(network, optimizer, *given)
        if "bfloat16" not in given:
            return result
        if loss:
            return loss, result[1]
        refuse = Mock(side_effect=RuntimeError("could not create a primitive descriptor"))
        if in_training:
            refuse()
        network.forward = refuse
        return result

    monkeypatch.setattr(speed, "train_step", failing_step)
    # So slow is float32 that whatever runs at all is preferred.
    monkeypatch.setattr(speed, "_MORE_PRECISE", 1e-9)


@pytest.mark.parametrize("in_training", [True, False], ids=["in a step", "in the evaluation"])
def test_precision_that_fails_is_not_chosen(
    monkeypatch: pytest.MonkeyPatch, in_training: bool
) -> None:
    without_bfloat16(monkeypatch, in_training)
    trainer = trained(text_config("lstm", precision="auto"))
    assert (trainer.precision, trainer.threads) == ("float32", 1)
    assert len(trainer.history) == 3


def test_precision_that_runs_is_chosen_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_MORE_PRECISE", 1e-9)
    trainer = new_trainer(text_config("gru", precision="auto"))
    next(trainer.run())
    assert trainer.precision == "bfloat16"


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_precision_that_gives_no_number_is_not_chosen(
    monkeypatch: pytest.MonkeyPatch, loss: float
) -> None:
    without_bfloat16(monkeypatch, in_training=True, loss=loss)
    trainer = new_trainer(text_config("lstm", precision="auto"))
    next(trainer.run())
    assert trainer.precision == "float32"


@pytest.mark.parametrize("in_training", [True, False], ids=["in a step", "in the evaluation"])
def test_precision_that_was_asked_for_and_fails_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, in_training: bool
) -> None:
    without_bfloat16(monkeypatch, in_training)
    trainer = new_trainer(text_config("lstm", precision="bfloat16"))
    with refused(UnavailableError, "bfloat16", "primitive", "--precision float32"):
        next(trainer.run())


def test_training_begun_in_bfloat16_is_not_gone_on_with_where_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = new_trainer(text_config("gru", precision="auto"))
    next(begun.run())
    successor = new_trainer(text_config("gru", precision="auto"))
    successor.restore(moved(begun.snapshot(), precision="bfloat16"))
    without_bfloat16(monkeypatch, in_training=True)
    with refused(UnavailableError, "bfloat16", "--precision float32"):
        next(successor.run())


def test_small_networks_train_on_one_thread_whatever_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speed, "_seconds", lambda *_: pytest.fail("measured"))
    with on_threads(2):
        for config in (series_config("lstm"), text_config("lstm")):
            trainer = new_trainer(config)
            next(trainer.run())
            assert (trainer.precision, trainer.threads) == ("float32", 1)


@pytest.mark.parametrize(("gain", "threads"), [(0.2, 1), (1.4, 1), (2.0, 2)])
def test_large_networks_train_on_many_threads_where_those_are_far_faster(
    monkeypatch: pytest.MonkeyPatch, gain: float, threads: int
) -> None:
    def seconds(*_: object) -> float:
        return 1.0 if torch.get_num_threads() == 1 else 1.0 / gain

    monkeypatch.setattr(speed, "threads_of", lambda weights: 8)
    monkeypatch.setattr(speed, "_seconds", seconds)
    with on_threads(2):
        trainer = new_trainer(text_config())
        next(trainer.run())
        assert trainer.threads == threads


def test_threads_that_were_asked_for_are_used_while_it_trains() -> None:
    trainer, before = new_trainer(text_config(threads=2, epochs=1)), torch.get_num_threads()
    assert {torch.get_num_threads() for _ in trainer.run()} == {trainer.threads} == {2}
    assert torch.get_num_threads() == before


def test_what_pytorch_cannot_do_here_is_one_line() -> None:
    with refused(UnavailableError, "no memory", "--batch-size"), refusals():
        raise RuntimeError("no memory\nat all")


def test_device_that_is_there_is_chosen() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["abacus", "", "cpu:x", "cuda:999"])
def test_device_that_is_not_there_is_unavailable(name: str) -> None:
    with refused(UnavailableError, f"'{name}'", "--device cpu"):
        choose_device(name)


def test_cuda_is_given_where_it_is_and_unavailable_where_it_is_not() -> None:
    if torch.cuda.is_available():
        assert choose_device("cuda").type == "cuda"
    else:
        with refused(UnavailableError, "'cuda'", "--device cpu"):
            choose_device("cuda")


def test_bfloat16_that_cannot_be_leaves_the_old_checkpoint(
    pipeline: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text_file: Path
) -> None:
    small = ("--hidden-size", "4", "--epochs", "2", "--batch-size", "4", "--window", "16")
    command = ("train", "char-lstm", *small, "--text", str(text_file))
    assert pipeline(*command).code == 0
    checkpoint = read_checkpoint(tmp_path / "checkpoints" / "char-lstm")
    without_bfloat16(monkeypatch, in_training=True)
    result = pipeline(*command, "--precision", "bfloat16")
    assert result.code == 7
    result.one_line_error("bfloat16", "--precision float32")
    assert read_checkpoint(tmp_path / "checkpoints" / "char-lstm") == checkpoint
