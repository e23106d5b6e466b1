"""A checkpoint gives back what was saved, whole or not at all, and is known to be finished."""

import errno
import itertools
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_files import LSTM, load_all, save_lstm, weights_of
from safetensors.torch import load
from tiny import CONFIGS, by_name, fail_on_call, refused, saved, series_config, text_config, trained

from pipeline.checkpoint import (
    CHECKPOINT_FILE,
    TRAINING_FILE,
    finished_checkpoint,
    load_network,
    read_checkpoint,
    save_checkpoint,
)
from pipeline.config import Config
from pipeline.data import Text
from pipeline.errors import StorageError
from pipeline.storage import sha256
from pipeline.train.scores import score


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_lstm(tmp_path / "model")


def data_digest(folder: Path) -> str:
    training = read_checkpoint(folder).training
    assert training is not None
    return training.data_sha256


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- round trip


@pytest.mark.parametrize("config", CONFIGS, ids=by_name)
def test_loaded_network_gives_the_outputs_of_the_saved_one(config: Config, tmp_path: Path) -> None:
    trainer = trained(config)
    saved(tmp_path, config, trainer)
    network, loaded = trainer.best_network(), load_all(tmp_path)
    input = next(trainer.task.batches(0)).input
    state = torch.randn_like(network.zero_state(len(input)))
    with torch.no_grad():
        for before, after in zip(network(input, state), loaded(input, state), strict=True):
            assert torch.equal(before, after)
    assert not loaded.training


@pytest.mark.parametrize("config", CONFIGS, ids=by_name)
def test_checkpoint_read_back_is_the_one_that_was_saved(config: Config, tmp_path: Path) -> None:
    checkpoint = saved(tmp_path, config)
    assert checkpoint.config == config
    assert read_checkpoint(tmp_path) == checkpoint


def test_json_names_the_weights_and_holds_the_digests(folder: Path) -> None:
    content = json.loads((folder / CHECKPOINT_FILE).read_text(encoding="utf-8"))
    weights = weights_of(folder)
    assert content["weights"] == {"file": weights.name, "sha256": sha256(weights.read_bytes())}
    assert len(content["training"]["data_sha256"]) == 64
    assert content["parameters"] == sum(
        tensor.numel() for tensor in load(weights.read_bytes()).values()
    )
    assert content["training"]["scores"]["one_step"]["rmse"] > 0


def test_no_file_of_a_checkpoint_is_a_pickle(folder: Path) -> None:
    for name, data in content_of(folder).items():
        assert not data.startswith((b"PK", b"\x80")), name  # zip of torch.save, bare pickle
    assert load(weights_of(folder).read_bytes()).keys() == load_all(folder).state_dict().keys()


def test_text_model_keeps_characters_of_every_plane(tmp_path: Path) -> None:
    text = Text("añ€😀\n" * 100)
    config = text_config()
    trainer = trained(config, text)
    checkpoint = save_checkpoint(
        tmp_path, trainer, config, text, score(trainer.best_network(), text)
    )
    assert read_checkpoint(tmp_path) == checkpoint
    assert checkpoint.vocabulary == "\nañ€😀"


# --- training again


def test_training_again_leaves_one_pair_and_no_unfinished_training(folder: Path) -> None:
    other = series_config("lstm", num_layers=2, epochs=1, seed=1)
    (folder / TRAINING_FILE).write_bytes(b"unfinished")
    old = weights_of(folder).name
    checkpoint = saved(folder, other)
    assert content_of(folder).keys() == {CHECKPOINT_FILE, checkpoint.weights.file}
    assert checkpoint.weights.file != old


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (os, "fsync", 1),
        (os, "fsync", 2),
        (os, "fsync", 3),
        (Path, "replace", 1),
        (Path, "replace", 2),
    ],
)
def test_old_pair_stays_whole_when_writing_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int
) -> None:
    before = content_of(folder)
    other = series_config("lstm", num_layers=2, epochs=1, seed=1)
    trainer = trained(other)
    fail_on_call(monkeypatch, owner, name, call, OSError(errno.ENOSPC, "No space left"))
    with refused(StorageError, "disk is full"):
        saved(folder, other, trainer)
    assert content_of(folder).items() >= before.items()
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    assert finished_checkpoint(folder, LSTM, data_digest(folder))


def test_old_weights_that_cannot_be_removed_are_a_storage_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = series_config("lstm", num_layers=2, epochs=1, seed=1)
    trainer, real, old = trained(other), Path.unlink, weights_of(folder)

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path == old:
            raise PermissionError(errno.EACCES, "Permission denied")
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    with refused(StorageError, "permission denied"):
        saved(folder, other, trainer)
    assert read_checkpoint(folder).config == other


# --- is there anything to do?


def test_finished_checkpoint_is_found_for_its_own_configuration_and_data(folder: Path) -> None:
    digest = data_digest(folder)
    assert finished_checkpoint(folder, LSTM, digest) == read_checkpoint(folder)


def test_nothing_is_finished_for_another_configuration_or_other_data(folder: Path) -> None:
    digest = data_digest(folder)
    other = series_config("lstm", num_layers=2, epochs=1, learning_rate=1e-3)
    assert finished_checkpoint(folder, other, digest) is None
    assert finished_checkpoint(folder, LSTM, "0" * 64) is None


@pytest.mark.parametrize("file", [CHECKPOINT_FILE, "weights"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "changed"])
def test_nothing_is_finished_when_a_file_is_damaged(folder: Path, file: str, damage: str) -> None:
    digest = data_digest(folder)
    path = folder / file if file == CHECKPOINT_FILE else weights_of(folder)
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    else:
        path.write_bytes(data[:-2] + b"?" + data[-1:])
    assert finished_checkpoint(folder, LSTM, digest) is None


def test_nothing_is_finished_in_an_empty_folder(tmp_path: Path) -> None:
    assert finished_checkpoint(tmp_path, LSTM, "0" * 64) is None


# --- whole or absent, and nothing beside


def test_a_full_disk_at_any_write_leaves_a_checkpoint_that_is_whole_and_alone(
    tmp_path: Path,
) -> None:
    """Also where the new one is in place, and only the names in its folder cannot be synced."""
    config = series_config("rnn", epochs=1)
    trainer = trained(config)
    saved(tmp_path, series_config("rnn", epochs=1, seed=9))
    old = read_checkpoint(tmp_path)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for call in itertools.count(1):
        with pytest.MonkeyPatch.context() as patch:
            fail_on_call(patch, os, "fsync", call, full)
            with suppress(StorageError):
                saved(tmp_path, config, trainer)
                break
        found = read_checkpoint(tmp_path)
        load_network(tmp_path, found)
        if found == old:
            assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT_FILE, old.weights.file}
    assert call > 4
    assert read_checkpoint(tmp_path).config == config
