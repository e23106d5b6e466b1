"""An interrupted training goes on, and ends with the same bits."""

import shutil
import signal
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from command_line import Here
from tiny import (
    WHOLE_CONFIGS,
    assert_same_result,
    by_name,
    data_of,
    new_trainer,
    series_config,
    text_config,
    trained,
)

from pipeline.checkpoint import TRAINING_FILE, load_snapshot, read_checkpoint, save_snapshot
from pipeline.cli import train_one
from pipeline.cli.interrupt import deferred_interrupt
from pipeline.config import Config
from pipeline.report.progress import TrainingBar
from pipeline.threads import weights_of
from pipeline.train.callback import Progress
from pipeline.train.trainer import Trainer

DEEP = {"num_layers": 2, "dropout": 0.3, "epochs": 3}
DEEP_CONFIGS = [series_config("lstm", **DEEP), text_config("gru", **DEEP)]


def gone_on(config: Config, folder: Path) -> Trainer:
    """A trainer that ended what is saved in ``folder``."""
    trainer = new_trainer(config)
    snapshot = load_snapshot(folder, config, data_of(config).digest, weights_of(trainer.network))
    assert snapshot is not None
    trainer.restore(snapshot)
    for _ in trainer.run():
        pass
    return trainer


@pytest.mark.parametrize("config", [*DEEP_CONFIGS, *WHOLE_CONFIGS], ids=by_name)
def test_interrupted_anywhere_it_ends_with_the_same_bits(config: Config, tmp_path: Path) -> None:
    trainer = new_trainer(config)
    steps = trainer.task.steps_per_epoch
    assert steps > 2
    stops = {1, steps - 1, steps, steps + 1, 2 * steps}
    standing = set()
    for progress in trainer.run():
        if progress.step in stops:
            folder = tmp_path / f"{progress.step}-{progress.validation_loss}"
            save_snapshot(folder, trainer.snapshot(), config, data_of(config).digest)
            standing.add((trainer.epoch, trainer.step))
    assert {(0, 1), (0, steps), (1, 0), (1, 1), (2, 0)} <= standing
    for folder in tmp_path.iterdir():
        assert_same_result(gone_on(config, folder), trainer)


@pytest.mark.parametrize("config", DEEP_CONFIGS, ids=by_name)
def test_interrupted_after_every_few_steps_it_ends_with_the_same_bits(
    config: Config, tmp_path: Path
) -> None:
    data = data_of(config)
    trainer, ended, rounds = new_trainer(config), False, 0
    while not ended:
        ended, rounds = True, rounds + 1
        for _ in islice(trainer.run(), 3):
            ended = False
        save_snapshot(tmp_path, trainer.snapshot(), config, data.digest)
        successor = new_trainer(config)
        snapshot = load_snapshot(tmp_path, config, data.digest, weights_of(successor.network))
        assert snapshot is not None
        successor.restore(snapshot)
        trainer = successor
    assert rounds > config.training.epochs
    assert_same_result(trainer, trained(config))


SMALL = (
    *("train", "char-lstm", "--hidden-size", "4"),
    *("--epochs", "2", "--batch-size", "4", "--window", "16"),
)


def digest_of_weights(folder: Path) -> str:
    return read_checkpoint(folder / "checkpoints" / "char-lstm").weights.sha256


@pytest.fixture
def whole(pipeline: Here, tmp_path: Path, text_file: Path) -> tuple[tuple[str, ...], str]:
    """A command of ``train``, and the digest of the weights that it gives without a stop."""
    command = (*SMALL, "--precision", "float32", "--text", str(text_file))
    assert pipeline(*command).code == 0
    digest = digest_of_weights(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    return command, digest


def on_step(monkeypatch: pytest.MonkeyPatch, number: int, action: Callable[[], object]) -> None:
    """Let ``action`` happen where the bar shows step ``number``, and the first time only."""
    real = TrainingBar.show
    shown: list[int] = []

    def show(bar: TrainingBar, progress: Progress) -> None:
        real(bar, progress)
        shown.append(progress.step)
        if shown == list(range(1, number + 1)):
            action()

    monkeypatch.setattr(TrainingBar, "show", show)


def test_ctrl_c_saves_the_step_and_resume_ends_with_the_same_weights(
    pipeline: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Any, ctrl_c: None
) -> None:
    command, digest = whole
    on_step(monkeypatch, 3, lambda: signal.raise_signal(signal.SIGINT))
    result = pipeline(*command)
    assert result.code == 130
    result.one_line_error("interrupted", "--resume")
    assert (tmp_path / "checkpoints" / "char-lstm" / TRAINING_FILE).exists()
    assert "char-lstm: resuming after epoch 0, step 3" in pipeline(*command, "--resume").err
    assert digest_of_weights(tmp_path) == digest
    assert not (tmp_path / "checkpoints" / "char-lstm" / TRAINING_FILE).exists()


def test_killed_within_the_first_epoch_it_goes_on_from_the_last_snapshot(
    pipeline: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Any
) -> None:
    command, digest = whole
    monkeypatch.setattr(train_one, "_EVERY", 0)  # each step is later than that
    on_step(monkeypatch, 3, Mock(side_effect=KeyboardInterrupt))
    assert pipeline(*command).code == 130
    assert "char-lstm: resuming after epoch 0, step 2" in pipeline(*command, "--resume").err
    assert digest_of_weights(tmp_path) == digest


def test_second_ctrl_c_interrupts_at_once(ctrl_c: None) -> None:
    with deferred_interrupt() as interrupted:
        assert not interrupted()
        signal.raise_signal(signal.SIGINT)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_ctrl_c_that_is_no_interrupt_stays_as_it_is(handler: Any) -> None:
    before = signal.signal(signal.SIGINT, handler)
    try:
        with deferred_interrupt() as interrupted:
            assert signal.getsignal(signal.SIGINT) is handler
            assert not interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
