"""An unfinished training is kept whole, and refused where it is not."""

import errno
import hashlib
import json
import math
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_files import LSTM
from killed import kills_of
from safetensors import safe_open
from safetensors.torch import save
from tiny import fail_on_call, moved, new_trainer, refused, saved, series_config, text_config

from pipeline.checkpoint import TRAINING_FILE, load_snapshot, save_snapshot
from pipeline.errors import IntegrityError, MalformedError, StorageError, UnsafeError
from pipeline.train.trainer import Snapshot


@pytest.fixture
def unfinished() -> Snapshot:
    trainer = new_trainer(LSTM)
    for progress in trainer.run():
        if progress.validation_loss is not None:
            break
    return trainer.snapshot()


def test_snapshot_comes_back_as_it_was(tmp_path: Path, unfinished: Snapshot) -> None:
    save_snapshot(tmp_path, unfinished, LSTM, "0" * 64)
    found = load_snapshot(tmp_path, LSTM, "0" * 64, 1000)
    assert found is not None
    assert replace(found, tensors={}) == replace(unfinished, tensors={})
    assert found.tensors.keys() == unfinished.tensors.keys()
    assert all(torch.equal(found.tensors[k], v) for k, v in unfinished.tensors.items())


def test_snapshot_of_another_configuration_or_other_data_is_ignored(
    tmp_path: Path, unfinished: Snapshot
) -> None:
    assert load_snapshot(tmp_path, LSTM, "0" * 64, 1000) is None
    save_snapshot(tmp_path, unfinished, LSTM, "0" * 64)
    assert load_snapshot(tmp_path, LSTM, "1" * 64, 1000) is None
    assert load_snapshot(tmp_path, series_config("gru"), "0" * 64, 1000) is None


@pytest.mark.parametrize("eighths", range(8))
def test_truncated_snapshot_is_refused(tmp_path: Path, unfinished: Snapshot, eighths: int) -> None:
    save_snapshot(tmp_path, unfinished, LSTM, "0" * 64)
    path = tmp_path / TRAINING_FILE
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * eighths // 8])
    with pytest.raises((MalformedError, IntegrityError), match=r"train without --resume$"):
        load_snapshot(tmp_path, LSTM, "0" * 64, 1000)


def test_every_flipped_bit_of_a_snapshot_is_seen(tmp_path: Path, unfinished: Snapshot) -> None:
    save_snapshot(tmp_path, unfinished, LSTM, "0" * 64)
    path = tmp_path / TRAINING_FILE
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    places = random.Random(0).sample(range(8 * len(data)), 300)
    places += [*range(64), *random.Random(1).sample(range(64, 8 * header), 100)]
    for place in places:
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises((MalformedError, IntegrityError), match=r"train without --resume$"):
            load_snapshot(tmp_path, LSTM, "0" * 64, 1000)


def sealed(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> bytes:
    """A file with the digest that a snapshot carries over itself."""
    data = save(tensors, metadata=metadata | {"sha256": "0" * 64})
    blank, digest = '"sha256":"{}"'.format("0" * 64), hashlib.sha256(data).hexdigest()
    return data.replace(blank.encode(), f'"sha256":"{digest}"'.encode())


@pytest.mark.parametrize(
    "metadata", [{}, {"training": "{"}, {"training": "[]"}, {"training": '"text"'}]
)
def test_snapshot_without_its_facts_is_refused(tmp_path: Path, metadata: dict[str, str]) -> None:
    (tmp_path / TRAINING_FILE).write_bytes(sealed({"network.x": torch.zeros(1)}, metadata))
    with refused(MalformedError, "--resume"):
        load_snapshot(tmp_path, LSTM, "0" * 64, 1000)


@pytest.mark.parametrize("metadata", [None, {"training": "{}"}])
def test_snapshot_of_an_earlier_version_is_refused(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    (tmp_path / TRAINING_FILE).write_bytes(save({"network.x": torch.zeros(1)}, metadata=metadata))
    with refused(MalformedError, "of this version", "train without --resume"):
        load_snapshot(tmp_path, LSTM, "0" * 64, 1000)


def test_snapshot_that_is_sealed_anew_is_read(tmp_path: Path, unfinished: Snapshot) -> None:
    save_snapshot(tmp_path, unfinished, LSTM, "0" * 64)
    path = tmp_path / TRAINING_FILE
    with safe_open(path, "pt") as file:
        facts = file.metadata()["training"]
    path.write_bytes(sealed(unfinished.tensors, {"training": facts}))
    assert load_snapshot(tmp_path, LSTM, "0" * 64, 1000) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": -1},
        {"epoch": 2},
        {"epoch": True},
        {"step": -1},
        {"step": 0.5},
        {"total": math.nan},
        {"total": -1.0},
        {"seconds": -1.0},
        {"seconds": math.inf},
        {"threads": 0},
        {"threads": 10**9},
        {"precision": "float16"},
        {"best_epoch": 0},
        {"best_epoch": 2},
        {"history": []},
        {"history": [{"train_loss": 1.0}]},
        {"history": [{"train_loss": 1.0, "validation_loss": math.nan}]},
        {"history": 7},
        {"format": 1},
        {"stray": 1},
        {"epoch": 9, "history": [{"train_loss": 1.0, "validation_loss": 1.0}] * 9},
    ],
    ids=str,
)
def test_snapshot_with_facts_that_cannot_be_is_refused(
    tmp_path: Path, unfinished: Snapshot, change: dict[str, Any]
) -> None:
    save_snapshot(tmp_path, unfinished, LSTM, "0" * 64)
    path = tmp_path / TRAINING_FILE
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["training"])
    path.write_bytes(sealed(unfinished.tensors, {"training": json.dumps(facts | change)}))
    with refused(MalformedError, "is not an unfinished training", "--resume"):
        load_snapshot(tmp_path, LSTM, "0" * 64, 1000)


@pytest.mark.parametrize("name", ["stray", "other.x", "network.x", "optimizer.x", "optimizer.x.y"])
def test_snapshot_with_other_tensors_is_refused(unfinished: Snapshot, name: str) -> None:
    tensors = unfinished.tensors | {name: torch.zeros(1)}
    with refused(MalformedError, name, "--resume"):
        new_trainer(LSTM).restore(replace(unfinished, tensors=tensors))


@pytest.mark.parametrize("part", ["network.", "best.", "optimizer."])
def test_snapshot_that_lacks_tensors_is_refused(unfinished: Snapshot, part: str) -> None:
    tensors = {k: v for k, v in unfinished.tensors.items() if not k.startswith(part)}
    with refused(MalformedError, f"lacks {part}", "--resume"):
        new_trainer(LSTM).restore(replace(unfinished, tensors=tensors))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("network.head.bias", lambda x: x.repeat(2), "shape"),
        ("best.head.bias", lambda x: x.double(), "type"),
        ("best.head.bias", lambda x: x * math.nan, "not finite"),
        ("optimizer.0.exp_avg", lambda x: x.T, "shape"),
        ("optimizer.0.exp_avg", lambda x: x / 0, "not finite"),
        ("optimizer.0.exp_avg_sq", lambda x: -x, "negative"),
        ("optimizer.0.step", lambda x: x * 0, "steps"),
        ("optimizer.0.step", lambda x: x + 1e6, "steps"),
    ],
)
def test_snapshot_with_tensors_that_cannot_be_is_refused(
    unfinished: Snapshot, name: str, change: Any, words: str
) -> None:
    tensors = unfinished.tensors | {name: change(unfinished.tensors[name])}
    with refused(MalformedError, name, words, "--resume"):
        new_trainer(LSTM).restore(replace(unfinished, tensors=tensors))


def test_snapshot_that_is_far_too_long_or_no_file_is_not_read(
    tmp_path: Path, unfinished: Snapshot
) -> None:
    save_snapshot(tmp_path, unfinished, LSTM, "0" * 64)
    path = tmp_path / TRAINING_FILE
    os.truncate(path, 20 * 2**30)  # sparse
    with refused(MalformedError, TRAINING_FILE, "bytes"):
        load_snapshot(tmp_path, LSTM, "0" * 64, 1000)
    path.unlink()
    path.symlink_to("/dev/zero")
    with refused(UnsafeError, TRAINING_FILE):
        load_snapshot(tmp_path, LSTM, "0" * 64, 1000)


def test_snapshot_of_a_step_that_no_epoch_has_is_refused(unfinished: Snapshot) -> None:
    with refused(MalformedError, "step 1000 of an epoch of", "--resume"):
        new_trainer(LSTM).restore(moved(unfinished, step=1000))


@pytest.mark.parametrize("state", [torch.zeros(3, 2, 4), torch.zeros(4, 2, 5), None])
def test_snapshot_within_an_epoch_needs_the_state_of_its_rows(state: torch.Tensor | None) -> None:
    config = text_config("lstm")
    trainer = new_trainer(config)
    next(trainer.run())
    snapshot = trainer.snapshot()
    assert snapshot.tensors["carried.state"].shape == (4, 2, 4)
    tensors = {k: v for k, v in snapshot.tensors.items() if k != "carried.state"}
    if state is not None:
        tensors["carried.state"] = state
    with refused(MalformedError, "carried.state", "--resume"):
        new_trainer(config).restore(replace(snapshot, tensors=tensors))


@pytest.mark.parametrize("call", [1, 2])
def test_snapshot_stays_whole_when_writing_the_next_one_fails(
    tmp_path: Path, unfinished: Snapshot, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    save_snapshot(tmp_path, unfinished, LSTM, "0" * 64)
    fail_on_call(monkeypatch, os, "fsync", call, OSError(errno.ENOSPC, "No space left"))
    with refused(StorageError, TRAINING_FILE):
        save_snapshot(tmp_path, moved(unfinished, seconds=2.0), LSTM, "0" * 64)
    assert load_snapshot(tmp_path, LSTM, "0" * 64, 1000) is not None
    assert [path.name for path in tmp_path.iterdir()] == [TRAINING_FILE]


def test_a_writer_killed_at_any_step_leaves_one_checkpoint_and_nothing_after_a_rerun(
    tmp_path: Path, unfinished: Snapshot
) -> None:
    source, root = tmp_path / "source", tmp_path / "root"
    made = saved(source, LSTM)
    assert made.training
    save_snapshot(source, unfinished, LSTM, made.training.data_sha256)
    root.mkdir()
    assert kills_of("kill_checkpoint", root, source) >= 8
