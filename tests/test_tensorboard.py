"""A training is followed by callbacks: TensorBoard's, and those of others."""

import signal
import sys
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from command_line import ROOT, Here
from tiny import (
    assert_same_result,
    installed,
    new_trainer,
    refused,
    series_config,
    text_config,
    trained,
)

from pipeline.checkpoint import Checkpoint, read_checkpoint
from pipeline.config import PRESETS, Config
from pipeline.contract.records import TrainingRecord
from pipeline.errors import MalformedError, StorageError
from pipeline.report.progress import TrainingBar
from pipeline.train.callback import Callback, Progress
from pipeline.train.tensorboard import TensorBoard
from pipeline.train.trainer import Trainer

SMALL = (
    *("train", "char-lstm", "--hidden-size", "4", "--precision", "float32"),
    *("--epochs", "2", "--batch-size", "4", "--window", "16"),
)


@pytest.fixture
def curves() -> Any:
    """A function that reads with TensorBoard: steps and values of each tag in a folder."""
    with warnings.catch_warnings():  # what TensorBoard warns of itself is its own affair
        warnings.simplefilter("ignore")
        module = installed("tensorboard.backend.event_processing.event_accumulator")

    def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
        reader = module.EventAccumulator(str(folder), size_guidance={"scalars": 0})
        reader.Reload()
        return {
            tag: [(event.step, event.value) for event in reader.Scalars(tag)]
            for tag in reader.Tags()["scalars"]
        }

    return read


class Follower(Callback):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def begin(self, config: Config, step: int) -> None:
        self.told.append((config.name, step))

    def report(self, progress: Progress) -> None:
        self.told.append(progress)

    def end(self) -> None:
        self.told.append("end")


def followed(config: Config, *callbacks: Callback) -> Trainer:
    plain = new_trainer(config)
    return Trainer(config, plain.task, plain.device, callbacks)


def test_a_callback_is_told_of_the_begin_each_step_each_epoch_and_the_end() -> None:
    config, follower = series_config(), Follower()
    trainer = followed(config, follower)
    yielded = list(trainer.run())
    assert follower.told == [(config.name, 0), *yielded, "end"]
    assert [one.step for one in yielded if one.validation_loss is None] == [
        *range(1, trainer.steps + 1)
    ]
    losses = [one.validation_loss for one in yielded if one.validation_loss is not None]
    assert losses == [epoch["validation_loss"] for epoch in trainer.history]
    assert_same_result(trainer, trained(config))


def test_the_end_is_told_of_a_training_that_is_stopped_and_resuming_goes_on_after_it() -> None:
    first, second = Follower(), Follower()
    config = series_config()
    trainer = followed(config, first)
    run = trainer.run()
    steps = [next(run) for _ in range(3)]
    run.close()
    assert first.told == [(config.name, 0), *steps, "end"]
    successor = followed(config, second)
    successor.restore(trainer.snapshot())
    assert next(successor.run()).step == 4
    assert second.told[0] == (config.name, 3)


def test_the_end_is_told_of_a_training_that_fails() -> None:
    class Refuses(Callback):
        def report(self, progress: Progress) -> None:
            raise MalformedError("no more")

    first, last = Follower(), Follower()
    with refused(MalformedError, "no more"):
        next(followed(series_config(), first, Refuses(), last).run())
    assert (first.told[-1], last.told[-1]) == ("end", "end")


def float32(values: Any) -> list[float]:
    """The numbers that TensorBoard keeps of ``values``."""
    return [float(np.float32(value)) for value in values]


def recorded(checkpoint: Checkpoint) -> TrainingRecord:
    assert checkpoint.training is not None
    return checkpoint.training


def assert_shows(curves: dict[str, list[tuple[int, float]]], checkpoint: Checkpoint) -> None:
    """Check that ``curves`` are the history and the scores of ``checkpoint``, whole and once."""
    history = recorded(checkpoint).history
    for tag, key in (("loss/train", "train_loss"), ("loss/validation", "validation_loss")):
        assert [value for _, value in curves[tag]] == float32(epoch[key] for epoch in history)
    last = curves["loss/validation"][-1][0]
    assert [step for step, _ in curves["loss/step"]] == [*range(1, last + 1)]
    each = last // len(history)
    assert [step for step, _ in curves["loss/train"]] == [*range(each, last + 1, each)]
    mean = np.mean([value for _, value in curves["loss/step"][:each]])
    assert mean == pytest.approx(history[0]["train_loss"], rel=1e-5)


def weights(folder: Path) -> dict[str, bytes]:
    """The bytes of a checkpoint."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_tensorboard_shows_the_history_and_the_scores_and_the_checkpoint_is_the_same(
    pipeline: Here, tmp_path: Path, text_file: Path, curves: Any
) -> None:
    command, folder = (*SMALL, "--text", str(text_file)), tmp_path / "checkpoints" / "char-lstm"
    assert pipeline(*command).code == 0
    assert not (tmp_path / "runs").exists()
    without = weights(folder)
    assert pipeline(*command, "--force", "--log", "tensorboard").code == 0
    assert weights(folder) == without
    checkpoint, shown = read_checkpoint(folder), curves(tmp_path / "runs" / "char-lstm")
    assert_shows(shown, checkpoint)
    scores: Any = recorded(checkpoint).scores
    steps = len(shown["loss/step"])
    for name in ("loss", "bits_per_character", "accuracy"):
        assert shown[f"scores/{name}"] == [(steps, *float32([getattr(scores, name)]))]


def test_scores_of_a_series_are_shown_by_their_paths(
    pipeline: Here, tmp_path: Path, curves: Any
) -> None:
    command = ("train", "sine-rnn", "--hidden-size", "4", "--epochs", "1", "--length", "200")
    assert pipeline(*command, "--log", "tensorboard").code == 0
    scores: Any = recorded(read_checkpoint(tmp_path / "checkpoints" / "sine-rnn")).scores
    shown = curves(tmp_path / "runs" / "sine-rnn")
    for name in ("one_step", "free_run"):
        [(_, value)] = shown[f"scores/{name}/rmse"]
        assert [value] == float32([getattr(scores, name).rmse])


def test_curves_go_on_where_a_training_is_resumed_and_begin_anew_where_it_is_forced(
    pipeline: Here,
    tmp_path: Path,
    text_file: Path,
    curves: Any,
    monkeypatch: pytest.MonkeyPatch,
    ctrl_c: None,
) -> None:
    command = (*SMALL, "--text", str(text_file), "--log", "tensorboard")
    real = TrainingBar.show

    def show(bar: TrainingBar, progress: Progress) -> None:
        real(bar, progress)
        if progress.step == 3:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingBar, "show", show)
        assert pipeline(*command).code == 130
    runs, folder = tmp_path / "runs" / "char-lstm", tmp_path / "checkpoints" / "char-lstm"
    assert [step for step, _ in curves(runs)["loss/step"]] == [1, 2, 3]
    for more in ("--resume", "--force"):
        assert pipeline(*command, more).code == 0
        assert_shows(curves(runs), read_checkpoint(folder))
    assert len([*runs.iterdir()]) == 3


def test_steps_after_the_last_snapshot_are_replaced_where_a_killed_training_goes_on(
    tmp_path: Path, curves: Any
) -> None:
    config = text_config()
    trainer, snapshot = followed(config, TensorBoard(tmp_path)), None
    for progress in trainer.run():
        if progress.step == 2 and snapshot is None:
            snapshot = trainer.snapshot()
        if progress.step == 5:
            break
    assert snapshot is not None
    killed = curves(tmp_path / config.name)["loss/step"]
    assert [step for step, _ in killed] == [1, 2, 3, 4, 5]
    successor = followed(config, TensorBoard(tmp_path))
    successor.restore(snapshot)
    run = successor.run()
    assert next(run).step == 3
    assert curves(tmp_path / config.name)["loss/step"] == killed[:3]
    run.close()


def test_without_tensorboard_the_way_to_get_it_is_told_before_data_are_read(
    pipeline: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    result = pipeline("train", "--text", "absent.txt", "--log", "tensorboard")
    assert result.code == 7
    result.one_line_error("tensorboard is not installed", "pip install 'tensorboard>=")
    assert not [*tmp_path.glob("checkpoints/*")]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with refused(StorageError, "runs"):
        next(followed(series_config(), TensorBoard(tmp_path / "runs")).run())


def test_the_callback_in_the_readme_records_a_training(
    pipeline: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = Mock()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(PRESETS, "sine-gru", series_config("gru"))
    text = (ROOT / "pipeline/train/README.md").read_text(encoding="utf-8")
    [lines] = [block for block in text.split("```python\n") if "import wandb" in block]
    exec(compile(lines.partition("```")[0], "<train/README.md>", "exec"), {})
    history = recorded(read_checkpoint(tmp_path / "checkpoints" / "sine-gru")).history
    calls = [(call.args[0], call.kwargs["step"]) for call in wandb.init.return_value.log.mock_calls]
    steps = [step for content, step in calls if "loss" in content]
    assert steps == [*range(1, steps[-1] + 1)]
    assert [content["validation loss"] for content, _ in calls if "loss" not in content] == [
        epoch["validation_loss"] for epoch in history
    ]
    assert wandb.init.call_args.kwargs["name"] == "sine-gru"
    wandb.init.return_value.finish.assert_called_once_with()
