"""Golden numbers and test data of a bundle: worked out anew, and compared."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from references import reference_of
from tiny import edit_sealed, refused, validation_of

from pipeline.bundle import Bundle, open_bundle
from pipeline.config import PRESETS
from pipeline.errors import MalformedError, ParityError
from pipeline.storage import canonical_json, sha256
from pipeline.validate.golden import agree, require_golden

Bundles = Callable[[str], Bundle]


@pytest.fixture
def copied(tiny_bundle: Bundles, tmp_path: Path) -> Bundle:
    shutil.copytree(tiny_bundle("sine-lstm").folder, tmp_path / "sine-lstm")
    return open_bundle(tmp_path / "sine-lstm")


def replace_listed(bundle: Bundle, name: str, data: bytes) -> Bundle:
    (bundle.folder / name).write_bytes(data)
    entry = {"sha256": sha256(data), "bytes": len(data)}
    edit_sealed(bundle.folder / "manifest.json", lambda c: c["files"].update({name: entry}))
    return open_bundle(bundle.folder)


@pytest.mark.parametrize("preset", PRESETS)
def test_golden_numbers_are_those_of_the_weights(tiny_bundle: Bundles, preset: str) -> None:
    bundle = tiny_bundle(preset)
    require_golden(bundle, reference_of(bundle))


@pytest.mark.parametrize("name", ["output", "next_state"])
@pytest.mark.parametrize(("trajectory", "call"), [(0, 0), (0, 2), (1, 1), (2, 0), (3, 1)])
def test_another_golden_number_is_a_parity_error(
    copied: Bundle, trajectory: int, call: int, name: str
) -> None:
    content = json.loads(copied.read("golden.json"))
    stored = content["trajectories"][trajectory]
    data = stored["calls"][call][name]["data"]
    data[-1] = float(np.float32(data[-1]) * np.float32(1 + 1e-6))
    changed = replace_listed(copied, "golden.json", canonical_json(content, None))
    with refused(ParityError, "golden.json", f"'{stored['name']}', {name}", "export it anew"):
        validation_of(changed)


@pytest.mark.parametrize("file", ["input_0", "input_1", "output_0", "output_1"])
def test_other_test_data_are_a_parity_error(copied: Bundle, file: str) -> None:
    name = f"onnx/test_data_set_1/{file}.pb"
    tensor = onnx.load_tensor_from_string(copied.read(name))
    array = onnx.numpy_helper.to_array(tensor) * np.float32(1 + 1e-6)
    other = onnx.numpy_helper.from_array(array, tensor.name)
    changed = replace_listed(copied, name, other.SerializeToString())
    with refused(ParityError, name):
        require_golden(changed, reference_of(changed))


@pytest.mark.parametrize("data", [b"", b"no tensor", b"\x08\x01" * 9])
def test_what_is_no_test_data_is_malformed(copied: Bundle, data: bytes) -> None:
    name = "onnx/test_data_set_0/input_0.pb"
    changed = replace_listed(copied, name, data)
    with refused(MalformedError, name):
        require_golden(changed, reference_of(changed))


def test_the_last_bit_of_a_golden_number_is_another_processors(copied: Bundle) -> None:
    exact = np.array([1.0, -3.5e-3, 0.0], np.float32)
    assert agree(np.nextafter(exact, np.float32(2)), exact)
    assert not agree(exact * np.float32(1 + 1e-6), exact)
    assert not agree(exact[:2], exact)
    assert not agree(np.array([1, 2]), np.array([1, 3]))


def test_another_opset_than_the_manifest_says_is_found(copied: Bundle) -> None:
    edit_sealed(copied.folder / "manifest.json", lambda c: c.update(opset=19))
    found = validation_of(open_bundle(copied.folder), ("onnxruntime",))
    assert "the opset is 18, not 19" in found.rows[-1].reason
    assert not found.passed
