"""A checkpoint that is damaged is refused in one line that names the fault."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_files import load_all, save_lstm, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from tiny import edit_sealed, refused

from pipeline.checkpoint import CHECKPOINT_FILE, parse_weights, read_checkpoint
from pipeline.errors import IntegrityError, MalformedError, UnsafeError
from pipeline.storage import canonical_json, sha256

Tensors = dict[str, torch.Tensor]

BIAS = "head.bias"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_lstm(tmp_path / "model")


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
