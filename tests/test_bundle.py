"""A bundle is whole: its files hold what the manifest says, and each is vouched for."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
import safetensors.numpy
from conftest import write_tiny_bundle
from tiny import open_session

import pipeline
from pipeline.bundle import Bundle, current_bundle
from pipeline.bundle.first_lines import call_lines, first_lines
from pipeline.config import CELLS, PRESETS, Cell, SeriesModel, TextModel
from pipeline.contract import Scaler
from pipeline.contract.manifest import manifest_schema
from pipeline.contract.samples import cut_sequences, outside
from pipeline.contract.weights import parameters, weight_shapes
from pipeline.errors import IntegrityError
from pipeline.model import Network
from pipeline.storage import sha256

FILES = {
    "README.md",
    "golden.json",
    "model.pt",
    "model.safetensors",
    "onnx/model.onnx",
    *(
        f"onnx/test_data_set_{index}/{kind}_{number}.pb"
        for index in range(3)
        for kind in ("input", "output")
        for number in range(2)
    ),
}

Bundles = Callable[[str], Bundle]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_bundle_holds_every_file_and_its_digest(tiny_bundle: Bundles, preset: str) -> None:
    bundle = tiny_bundle(preset)
    on_disk = {p.relative_to(bundle.folder).as_posix() for p in bundle.folder.rglob("*.*")}
    on_disk = {name for name in on_disk if (bundle.folder / name).is_file()}
    files = FILES | {f"onnx/{'generate' if preset.startswith('char') else 'forecast'}.onnx"}
    assert on_disk == files | {"manifest.json"}
    assert set(bundle.manifest.files) == files
    for name, entry in bundle.manifest.files.items():
        data = (bundle.folder / name).read_bytes()
        assert (entry.sha256, entry.bytes) == (sha256(data), len(data))


@pytest.mark.parametrize("preset", PRESETS)
def test_the_manifest_fits_the_schema(tiny_bundle: Bundles, preset: str) -> None:
    content = json.loads((tiny_bundle(preset).folder / "manifest.json").read_text())
    jsonschema.validate(content, manifest_schema())
    assert content["task"] == ("text" if preset.startswith("char") else "series")
    assert (content["vocabulary"] is None) == preset.startswith("sine")
    assert (content["scaler"] is None) == preset.startswith("char")


@pytest.mark.parametrize("preset", ["sine-gru", "char-lstm"])
def test_two_exports_of_one_checkpoint_give_the_same_bytes(
    tiny_bundle: Bundles, tiny_checkpoint: Callable[[str], Path], tmp_path: Path, preset: str
) -> None:
    first, second = tiny_bundle(preset), write_tiny_bundle(tiny_checkpoint(preset), tmp_path / "b")
    for name in [*FILES, "manifest.json"]:
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes(), name


@pytest.mark.parametrize("preset", PRESETS)
def test_onnx_runtime_replays_the_golden_trajectories(tiny_bundle: Bundles, preset: str) -> None:
    bundle = tiny_bundle(preset)
    golden = json.loads(bundle.read("golden.json"))
    session = open_session(bundle.read("onnx/model.onnx"))
    kind = np.int64 if preset.startswith("char") else np.float32
    assert len(golden["trajectories"]) == 4

    def array(tensor: dict[str, Any], dtype: type) -> np.ndarray:
        return np.array(tensor["data"], dtype).reshape(tensor["shape"])

    for trajectory in golden["trajectories"]:
        state = array(trajectory["states"]["state"], np.float32)
        assert len(trajectory["calls"]) > 1
        for call in trajectory["calls"]:
            output, state = session.run(None, {"input": array(call["input"], kind), "state": state})
            for found, name in ((output, "output"), (state, "next_state")):
                np.testing.assert_allclose(
                    found, array(call[name], np.float32), **golden["tolerance"]
                )
    assert any(np.any(array(t["states"]["state"], np.float32)) for t in golden["trajectories"])


@pytest.mark.parametrize("preset", ["sine-rnn", "char-gru"])
def test_the_onnx_folder_is_a_backend_test(tiny_bundle: Bundles, preset: str) -> None:
    folder = tiny_bundle(preset).folder / "onnx"
    session = open_session(folder / "model.onnx")
    shapes = set()
    for data_set in sorted(folder.glob("test_data_set_*")):
        arrays = {
            path.stem: onnx.numpy_helper.to_array(onnx.load_tensor(str(path)))
            for path in data_set.iterdir()
        }
        found = session.run(None, {"input": arrays["input_0"], "state": arrays["input_1"]})
        np.testing.assert_allclose(found[0], arrays["output_0"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found[1], arrays["output_1"], rtol=1e-4, atol=1e-5)
        shapes.add(arrays["input_0"].shape)
    assert len(shapes) == 2


@pytest.mark.parametrize("preset", ["sine-gru", "char-lstm"])
def test_the_first_lines_of_the_model_card_make_a_text_or_a_forecast(
    tiny_bundle: Bundles,
    preset: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = tiny_bundle(preset)
    model = bundle.manifest.model
    assert model is not None
    card = (bundle.folder / "README.md").read_text(encoding="utf-8")
    codes = re.findall(r"```python\n(.*?)```", card, flags=re.S)
    assert codes == [first_lines(model), call_lines(model)]
    monkeypatch.chdir(bundle.folder)
    printed, names = [], []
    for code in codes:
        names.append(found := dict[str, Any]())
        exec(compile(code, "README.md", "exec"), found)
        printed.append(capsys.readouterr().out)
    known = pipeline.load(bundle.folder)
    if preset == "char-lstm":
        vocabulary = known.vocabulary or ""
        assert printed[0][:4] == "The "
        assert len(printed[0]) == len("The ") + 200 + 1
        assert set(printed[0][4:-1]) <= set(vocabulary)
        logits = known.stream()("The ")
        assert printed[1] == f"{vocabulary[logits[0, -1, 1:].argmax()]!r}\n"
    else:
        history = bundle.task_data()[:100].astype(np.float32)
        ahead = known.forecast(history, 20).to_numpy()
        assert printed[0].count("\n") == 20
        np.testing.assert_allclose(names[0]["found"]["forecast"][0], ahead, rtol=1e-6)
        following = known.stream()(history[None])[0, -1]
        np.testing.assert_allclose(names[1]["output"][0, -1], following, rtol=1e-4, atol=1e-5)


def test_the_weights_go_back_into_pytorch_bit_for_bit(
    tiny_bundle: Bundles, tiny_checkpoint: Callable[[str], Path]
) -> None:
    folder = tiny_checkpoint("char-lstm")
    weights = next(folder.glob("weights-*.safetensors")).read_bytes()
    trained, exported = (
        {name: array.tobytes() for name, array in safetensors.numpy.load(data).items()}
        for data in (weights, tiny_bundle("char-lstm").read("model.safetensors"))
    )
    assert exported == trained


@pytest.mark.parametrize("name", sorted(FILES))
def test_one_flipped_bit_is_noticed(copied: Bundle, name: str) -> None:
    path = copied.folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="was changed after its export"):
        copied.verify()


def test_the_contract_imports_neither_torch_nor_onnx() -> None:
    code = (
        "import sys, pipeline.contract; "
        "sys.exit(bool({'torch', 'onnx', 'onnxruntime', 'pandas'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_layers": 3},
        {"bias": False},
        {"bidirectional": True, "readout": "final", "num_layers": 2},
        {"proj_size": 2, "num_layers": 2},
        {"proj_size": 2, "bidirectional": True, "readout": "each", "bias": False},
    ],
    ids=str,
)
def test_the_shapes_of_weights_follow_from_the_configuration(
    cell: Cell, options: dict[str, Any]
) -> None:
    if "proj_size" in options and cell != "lstm":
        return
    scaler = Scaler(
        input_mean=(0.0,) * 3, input_std=(1.0,) * 3, output_mean=(0.0,) * 2, output_std=(1.0,) * 2
    )
    series = SeriesModel(cell=cell, hidden_size=5, features=3, targets=2, **options)
    text = TextModel(cell=cell, hidden_size=5, embedding_size=3, **options)
    for network in (Network(series, scaler=scaler), Network(text, vocabulary="abcd")):
        own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        shapes = weight_shapes(network.config, len(network.vocabulary or ""))
        assert shapes == own
        assert parameters(shapes) == sum(weight.numel() for weight in network.parameters())


def test_a_bundle_is_current_until_its_checkpoint_opset_or_bytes_change(copied: Bundle) -> None:
    folder, digest = copied.folder, copied.manifest.checkpoint_sha256
    assert digest is not None
    assert current_bundle(folder, digest, 18) is not None
    assert current_bundle(folder, "0" * 64, 18) is None
    assert current_bundle(folder, digest, 19) is None
    (folder / "golden.json").write_text("{}")
    assert current_bundle(folder, digest, 18) is None
    assert current_bundle(folder.parent / "none", digest, 18) is None


def test_streams_wrap_around_and_differ() -> None:
    source = np.arange(10, dtype=np.int64)
    assert cut_sequences(source, 2, 7).tolist() == [[0, 1, 2, 3, 4, 5, 6], [5, 6, 7, 8, 9, 0, 1]]
    assert cut_sequences(source, 32, 3).shape == (32, 3)


def test_strange_input_is_outside_what_training_knew() -> None:
    text = np.full((2, 9), ord("a"))
    points = set(outside(text, "ab").ravel().tolist()) - {ord("a")}
    assert points
    assert points.isdisjoint({ord("b")})
    values = np.ones((2, 9, 1), np.float32)
    assert np.abs(outside(values, None)).max() >= 100
    assert (values == 1).all()
