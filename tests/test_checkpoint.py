import errno
import hashlib
import itertools
import json
import math
import os
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from killed import kills_of
from safetensors import safe_open
from safetensors.torch import load, save
from tiny import (
    CONFIGS,
    edit_sealed,
    fail_on_call,
    new_trainer,
    refused,
    saved,
    series_config,
    text_config,
    trained,
)

from pipeline.checkpoint import (
    CHECKPOINT_FILE,
    TRAINING_FILE,
    finished_checkpoint,
    load_network,
    load_snapshot,
    parse_weights,
    read_checkpoint,
    save_checkpoint,
    save_snapshot,
)
from pipeline.config import Config
from pipeline.data import Text
from pipeline.errors import (
    IntegrityError,
    MalformedError,
    StorageError,
    UnsafeError,
    UsageError,
)
from pipeline.lookup import find_models
from pipeline.model import Network
from pipeline.storage import canonical_json, sha256
from pipeline.train.scores import score
from pipeline.train.trainer import Snapshot

Tensors = dict[str, torch.Tensor]

LSTM = series_config("lstm", num_layers=2, epochs=1)
BIAS = "head.bias"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of a two-layer LSTM."""
    saved(tmp_path / "model", LSTM)
    return tmp_path / "model"


def weights_of(folder: Path) -> Path:
    (path,) = folder.glob("weights-*.safetensors")
    return path


def edit_json(folder: Path, edit: Callable[[Any], object]) -> None:
    edit_sealed(folder / CHECKPOINT_FILE, edit)


def replace_weights(folder: Path, edit: Callable[[Tensors], object]) -> None:
    """Put edited weights in place, under a digest that is right."""
    tensors = load(weights_of(folder).read_bytes())
    edit(tensors)
    put_weights_file(folder, save(tensors))


def put_weights_file(folder: Path, data: bytes) -> None:
    """Put ``data`` in place of the weights, under a digest that is right."""
    weights_of(folder).write_bytes(data)
    edit_json(folder, lambda content: content["weights"].update(sha256=sha256(data)))


def load_all(folder: Path) -> Network:
    return load_network(folder, read_checkpoint(folder))


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- round trip


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
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


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
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


# --- damaged weights


@pytest.mark.parametrize("sixteenths", range(16))
def test_truncated_weights_are_refused(folder: Path, sixteenths: int) -> None:
    weights = weights_of(folder)
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) * sixteenths // 16])
    with refused(IntegrityError, weights.name):
        load_all(folder)
    put_weights_file(folder, data[: len(data) * sixteenths // 16])
    with refused(MalformedError, weights.name, "truncated"):
        load_all(folder)


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04" + bytes(100),
        b"\x80\x02}q\x00.",
        b"\xff" * 64,
        b"not weights at all, just text",
    ],
    ids=["torch.save", "pickle", "huge header", "text"],
)
def test_weights_that_are_not_safetensors_are_refused(folder: Path, data: bytes) -> None:
    put_weights_file(folder, data)
    with refused(MalformedError, "not safetensors"):
        load_all(folder)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200), header=st.booleans())
def test_no_bytes_make_the_parser_fail_in_another_way(data: bytes, header: bool) -> None:
    if header:
        data = len(data).to_bytes(8, "little") + data
    with refused(MalformedError):
        parse_weights(data, Path("weights"))


def test_missing_weight_is_named(folder: Path) -> None:
    replace_weights(folder, lambda tensors: tensors.pop(BIAS))
    with refused(MalformedError, f"missing {BIAS}"):
        load_all(folder)


def test_unexpected_weight_is_named(folder: Path) -> None:
    replace_weights(folder, lambda tensors: tensors.update(extra=torch.zeros(1)))
    with refused(MalformedError, "unexpected extra"):
        load_all(folder)


def test_wrong_shape_is_named_with_both_shapes(folder: Path) -> None:
    replace_weights(folder, lambda tensors: tensors.update({BIAS: torch.zeros(2)}))
    with refused(MalformedError, f"{BIAS} is [2], not [1]"):
        load_all(folder)


@pytest.mark.parametrize(
    ("dtype", "name"), [(torch.float64, "F64"), (torch.float16, "F16"), (torch.int32, "I32")]
)
def test_wrong_type_is_named(folder: Path, dtype: torch.dtype, name: str) -> None:
    replace_weights(folder, lambda tensors: tensors.update({BIAS: torch.ones(1, dtype=dtype)}))
    with refused(MalformedError, f"{BIAS} is {name}, not F32"):
        load_all(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weight_that_is_not_finite_is_named(folder: Path, value: float) -> None:
    replace_weights(folder, lambda tensors: tensors.update({BIAS: torch.tensor([value])}))
    with refused(MalformedError, f"{BIAS} is not finite"):
        load_all(folder)


def test_all_faults_of_the_weights_are_listed_at_once(folder: Path) -> None:
    def spoil(tensors: Tensors) -> None:
        tensors["extra"] = tensors.pop(BIAS)
        tensors["head.weight"] = torch.zeros(3, 3)

    replace_weights(folder, spoil)
    with refused(MalformedError, f"missing {BIAS}", "unexpected extra", "head.weight is [3, 3]"):
        load_all(folder)


@pytest.mark.parametrize("bit", range(0, 8 * 64, 37))
def test_flipped_bit_in_a_weight_is_an_integrity_error(folder: Path, bit: int) -> None:
    weights = weights_of(folder)
    data = bytearray(weights.read_bytes())
    data[-1 - bit // 8] ^= 1 << bit % 8
    weights.write_bytes(data)
    with refused(IntegrityError, weights.name):
        load_all(folder)


def test_missing_weights_file_is_named(folder: Path) -> None:
    weights = weights_of(folder)
    weights.unlink()
    with refused(MalformedError, weights.name, "missing"):
        load_all(folder)


@pytest.mark.parametrize("name", ["../weights", "/etc/passwd", "a/../../b", "C:\\x", "a\x00b", ""])
def test_weights_outside_the_folder_are_unsafe(folder: Path, name: str) -> None:
    edit_json(folder, lambda content: content["weights"].update(file=name))
    with refused(UnsafeError):
        load_all(folder)


# --- damaged checkpoint.json


@pytest.mark.parametrize("sixteenths", range(16))
def test_truncated_json_is_refused(folder: Path, sixteenths: int) -> None:
    path = folder / CHECKPOINT_FILE
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * sixteenths // 16])
    error, why = (IntegrityError, "was changed") if sixteenths else (MalformedError, "not JSON")
    with refused(error, str(path), why):
        read_checkpoint(folder)


def test_no_flipped_bit_of_the_json_goes_unseen(folder: Path) -> None:
    path = folder / CHECKPOINT_FILE
    data = path.read_bytes()
    places = [*range(100), *range(100, len(data), len(data) // 300)]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises((IntegrityError, MalformedError)):
            read_checkpoint(folder)


def test_a_checkpoint_without_a_seal_is_read(folder: Path) -> None:
    sealed = read_checkpoint(folder)
    content = json.loads((folder / CHECKPOINT_FILE).read_bytes())
    del content["sha256"]
    (folder / CHECKPOINT_FILE).write_bytes(canonical_json(content))
    assert read_checkpoint(folder) == sealed
    assert sealed.digest == sha256((folder / CHECKPOINT_FILE).read_bytes())


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("config", "name"),
        ("weights", "sha256"),
        ("training", "data_sha256"),
        ("training", "scores"),
        ("versions", None),
        ("scaler", None),
    ],
)
def test_missing_key_is_named(folder: Path, section: str, key: str | None) -> None:
    edit_json(folder, lambda content: content[section].pop(key) if key else content.pop(section))
    with refused(MalformedError, f"{section}.{key}" if key else section, "required"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("training", "seed", "many"),
        ("training", "history", 1),
        ("training", "epochs", None),
        ("weights", "file", 7),
        ("config", "source", {"kind": "magic"}),
        ("config", "surprise", 1),
        ("scaler", "input_std", [0.0]),
        ("scaler", "input_std", [-1.0]),
        ("scaler", "input_std", [1e-60]),
        ("scaler", "output_mean", [1e60]),
        ("scaler", "input_mean", ["1"]),
        ("config", "name", "a/b"),
        ("config", "name", "*/ int main(void) { return 1; } /*"),
        ("training", "data_sha256", "X" * 64),
        ("training", "device", "cpu\x1b[2J"),
        ("training", "threads", True),
        ("versions", "torch", "2\n.0"),
        ("weights", "sha256", "0" * 63),
    ],
)
def test_wrong_value_is_refused_with_its_place(
    folder: Path, section: str, key: str, value: object
) -> None:
    edit_json(folder, lambda content: content[section].update({key: value}))
    with refused(MalformedError, f"{section}.{key}"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(parameters=c["parameters"] + 1), "parameters is"),
        (lambda c: c.update(parameters=10**30), "parameters is"),
        (lambda c: c["config"]["model"].update(hidden_size=65_536), "parameters is"),
        (lambda c: c["scaler"].update(input_std=[1.0, 1.0]), "scaler.input_std"),
        (lambda c: c["scaler"].update(output_mean=[]), "scaler.output_mean"),
        (lambda c: c.update(vocabulary="abc"), "no vocabulary"),
        (lambda c: c.update(held_out=[]), "held_out"),
        (lambda c: c.update(held_out="text"), "held_out is not of the model's task"),
        (lambda c: c.update(held_out=[[1.0, 2.0]]), "rows of other than 1 numbers"),
        (lambda c: c.update(held_out=[[1.0], []]), "rows of other than 1 numbers"),
        (lambda c: c.update(held_out=[[1e39]]), "held_out"),
        (lambda c: c.update(training=None), "training is null for imported weights"),
        (lambda c: c["training"]["scores"].update(residual_std=[]), "residual_std"),
        (lambda c: c["training"]["scores"].update(residual_std=[-1.0]), "residual_std"),
        (lambda c: c["training"].update(best_epoch=99), "best_epoch"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(
    folder: Path, change: Callable[[Any], object], message: str
) -> None:
    edit_json(folder, change)
    with refused(MalformedError, str(folder), message, "train it anew"):
        read_checkpoint(folder)


def test_no_memory_is_taken_for_shapes_that_the_file_does_not_have(folder: Path) -> None:
    """17 GB of weights, and 17 GB that the file claims to have."""

    def huge(content: Any) -> None:
        content["config"]["model"].update(hidden_size=65_536)
        content["parameters"] = 51_540_983_809

    edit_json(folder, huge)
    with refused(MalformedError, "does not fit its model"):
        load_all(folder)
    header = {"head.bias": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    text = json.dumps(header).encode()
    put_weights_file(folder, len(text).to_bytes(8, "little") + text)
    with refused(MalformedError, "does not fit its model"):
        load_all(folder)


def test_weights_larger_than_the_model_are_not_read(folder: Path) -> None:
    with weights_of(folder).open("r+b") as file:
        file.truncate(20 * 2**30)
    with refused(MalformedError, "21,474,836,480 bytes"):
        load_all(folder)


@pytest.mark.parametrize(
    "content", [b"[]", b"null", b'"text"', b"{}", b'{"format": 2}', b"[" * 9999]
)
def test_other_json_is_not_a_checkpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CHECKPOINT_FILE).write_bytes(content)
    with refused(MalformedError, CHECKPOINT_FILE):
        read_checkpoint(tmp_path)


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with refused(MalformedError, str(tmp_path / CHECKPOINT_FILE), "missing"):
        read_checkpoint(tmp_path)


def test_model_without_its_scaler_is_refused(folder: Path) -> None:
    edit_json(folder, lambda content: content.update(scaler=None))
    with refused(MalformedError, "scaler"):
        read_checkpoint(folder)


@pytest.mark.parametrize("name", [CHECKPOINT_FILE, "weights"])
def test_links_out_of_the_folder_are_not_followed(folder: Path, name: str) -> None:
    path = weights_of(folder) if name == "weights" else folder / name
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")
    with refused(UnsafeError, path.name, "link"):
        load_all(folder)


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
    assert finished_checkpoint(folder, LSTM, read_checkpoint(folder).training.data_sha256)


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
    digest = read_checkpoint(folder).training.data_sha256
    assert finished_checkpoint(folder, LSTM, digest) == read_checkpoint(folder)


def test_nothing_is_finished_for_another_configuration_or_other_data(folder: Path) -> None:
    digest = read_checkpoint(folder).training.data_sha256
    other = series_config("lstm", num_layers=2, epochs=1, learning_rate=1e-3)
    assert finished_checkpoint(folder, other, digest) is None
    assert finished_checkpoint(folder, LSTM, "0" * 64) is None


@pytest.mark.parametrize("file", [CHECKPOINT_FILE, "weights"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "changed"])
def test_nothing_is_finished_when_a_file_is_damaged(folder: Path, file: str, damage: str) -> None:
    digest = read_checkpoint(folder).training.data_sha256
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


def test_models_are_found_in_the_order_of_the_presets(tmp_path: Path) -> None:
    for name in ("mine", "char-gru", "sine-rnn", ".hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / CHECKPOINT_FILE).touch()
    (tmp_path / "empty").mkdir()
    found = [path.name for path in find_models(tmp_path, CHECKPOINT_FILE, (), "train")]
    assert found == ["sine-rnn", "char-gru", "mine"]
    assert find_models(tmp_path, CHECKPOINT_FILE, ("mine",), "train") == [tmp_path / "mine"]
    with refused(UsageError, "'sine-rn'", "did you mean 'sine-rnn'"):
        find_models(tmp_path, CHECKPOINT_FILE, ("sine-rn",), "train")


def test_a_model_is_found_by_its_path_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("own/mine", "other/mine", "other/yours", "here"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / CHECKPOINT_FILE).touch()
    monkeypatch.chdir(tmp_path)
    own = Path("own")

    def found(*names: str) -> list[Path]:
        return find_models(own, CHECKPOINT_FILE, names, "train")

    assert found("mine", "other/yours") == [own / "mine", Path("other/yours")]
    assert found(str(tmp_path / "other" / "mine")) == [tmp_path / "other" / "mine"]
    assert found("here") == [Path("here")]  # no model of that name, but a folder that is one
    assert found("mine", "own/mine") == [own / "mine"]
    assert found("nowhere/none") == [Path("nowhere/none")]  # whoever reads it says what is missing
    assert find_models(Path("none"), CHECKPOINT_FILE, ("here",), "train") == [Path("here")]
    with refused(UsageError, "own/mine and other/mine have the same name"):
        found("mine", "other/mine")
    monkeypatch.chdir(tmp_path / "here")
    assert found(".") == [tmp_path / "here"]


def test_folder_without_models_says_which_command_makes_them(tmp_path: Path) -> None:
    with refused(UsageError, "pipeline train"):
        find_models(tmp_path / "nowhere", CHECKPOINT_FILE, ("sine-rnn",), "train")


# --- unfinished trainings


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
        new_trainer(LSTM).restore(replace(unfinished, step=1000))


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
        save_snapshot(tmp_path, replace(unfinished, seconds=2.0), LSTM, "0" * 64)
    assert load_snapshot(tmp_path, LSTM, "0" * 64, 1000) is not None
    assert [path.name for path in tmp_path.iterdir()] == [TRAINING_FILE]


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


def test_a_writer_killed_at_any_step_leaves_one_checkpoint_and_nothing_after_a_rerun(
    tmp_path: Path, unfinished: Snapshot
) -> None:
    source, root = tmp_path / "source", tmp_path / "root"
    made = saved(source, LSTM)
    assert made.training
    save_snapshot(source, unfinished, LSTM, made.training.data_sha256)
    root.mkdir()
    assert kills_of("kill_checkpoint", root, source) >= 8
