"""Variants hold small weights, are proven as any bundle is, and give the same bits everywhere."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from command_line import Here
from embedded import bundle_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper
from tiny import installed, open_session, refused, validation_of
from torch import Tensor, nn

import pipeline as api
from pipeline.bundle import Bundle, open_bundle
from pipeline.bundle.variant import build_variant
from pipeline.contract.bundle_weights import bundle_weights
from pipeline.contract.law import Array
from pipeline.contract.network import stored_network
from pipeline.contract.small_weights import (
    LARGEST,
    SmallType,
    SmallWeight,
    StoredWeight,
    header_of,
    packed,
    small_weights,
    unpacked,
)
from pipeline.errors import UnsafeError, UsageError
from pipeline.export import OPSETS
from pipeline.lookup import find_models
from pipeline.run.export import export_variant
from pipeline.runtimes.catalog import RUNTIMES
from pipeline.trust import Trust
from pipeline.variants import rounding, scores
from pipeline.variants.graph import places, small_graph, with_full_weights
from pipeline.variants.rounding import nearest, rounded_to_nearest, type_of

KINDS: tuple[SmallType, ...] = ("float16", "int8", "int4")


@pytest.fixture(autouse=True)
def small_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny weights are worth to store small, and streams end soon."""
    monkeypatch.setattr(rounding, "_AROUND", dict.fromkeys(rounding._AROUND, 0))
    monkeypatch.setattr(scores, "STREAM", 1000)


def weights_like(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


matrices = st.tuples(st.integers(1, 5), st.integers(1, 9)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(-1e6, 1e6, width=32))
)


@given(matrices, st.sampled_from(sorted(LARGEST)))
def test_the_nearest_whole_numbers_are_within_half_a_scale(matrix: Array, kind: str) -> None:
    numbers, scale = nearest(matrix, LARGEST[kind])
    assert np.abs(numbers).max() <= LARGEST[kind]
    off = np.abs(numbers * scale.astype(np.float64)[:, None] - matrix.astype(np.float64))
    assert (off <= 0.5001 * scale[:, None]).all()


@given(st.data(), st.integers(1, 4), st.integers(1, 9))
def test_two_int4_numbers_in_a_byte_are_parted_again(
    data: st.DataObject, rows: int, columns: int
) -> None:
    numbers = data.draw(arrays(np.int8, (rows, columns), elements=st.integers(-7, 7)))
    assert packed(numbers).shape == (rows, (columns + 1) // 2)
    assert (unpacked(packed(numbers), columns) == numbers).all()


@pytest.mark.parametrize("kind", KINDS)
def test_stored_weights_are_read_as_they_were(kind: SmallType) -> None:
    weights = {"conv": weights_like(3, 5, 7), "bias": weights_like(6)}
    stored = rounded_to_nearest(weights, kind)
    kinds = {name: one.kind for name, one in stored.items()}
    tensors = {key: y for name, one in stored.items() for key, y in one.tensors(name).items()}
    names = {"F16": "float16", "F32": "float32", "I8": "int8", "U8": "uint8"}
    for name, (type_, shape) in header_of(kinds).items():
        assert (tensors[name].dtype, tensors[name].shape) == (np.dtype(names[type_]), shape)
    for name, one in small_weights(tensors, kinds).items():
        assert (one.values == stored[name].values).all()
        assert one.values.shape == weights[name].shape
    assert kinds["bias"].type == "float32"  # vectors stay as they are


def test_matrices_of_few_columns_are_float16_and_others_have_scales(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert type_of(weights_like(64, 1), "int8") == "float16"
    assert type_of(weights_like(64, 9), "int8") == "int8"
    assert type_of(weights_like(64, 9), "int4") == "int4"
    assert type_of(weights_like(64, 1) * np.float32(1e6), "int8") == "float32"
    assert type_of(np.full((3, 9), np.inf, np.float32), "int8") == "float32"
    monkeypatch.undo()
    assert type_of(weights_like(2, 9), "int8") == "float32"  # its nodes would take more bytes


def graph_of(**weights: Array) -> bytes:
    """A graph that gives each of its initializers as an output."""
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in weights],
        "weights",
        [],
        [
            helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, y.shape)
            for name, y in weights.items()
        ],
        [numpy_helper.from_array(np.ascontiguousarray(y), name) for name, y in weights.items()],
    )
    opset = [helper.make_opsetid("", OPSETS.start)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", [8, 9])
def test_a_runtime_makes_the_very_same_float32_numbers(kind: SmallType, columns: int) -> None:
    weights = {"w": weights_like(6, columns), "v": weights_like(6, columns, seed=1)}
    weights["conv"] = weights_like(4, 3, columns, seed=2)
    stored = rounded_to_nearest(weights, kind)
    w, v = (stored[name].values for name in ("w", "v"))
    held = {
        "gates": np.roll(w, 2, axis=0)[None],  # in another order
        "both": np.stack([w, v]),  # two directions
        "turned": w.T,
        "conv": stored["conv"].values,
        "folded": v * np.float32(1.5),
    }
    file = small_graph(graph_of(**held), stored)
    found = open_session(file).run(None, {})
    for y, expected in zip(found, held.values(), strict=True):
        assert y.tobytes() == np.ascontiguousarray(expected).tobytes()
    types = {tensor.data_type for tensor in onnx.load_from_string(file).graph.initializer}
    small = {"float16": TensorProto.FLOAT16, "int8": TensorProto.INT8, "int4": TensorProto.UINT8}
    assert small[kind] in types
    full = with_full_weights(onnx.load_from_string(file))
    assert {one.name for one in full.graph.initializer} == held.keys()


def test_a_weight_that_is_folded_in_part_stays_as_it_is() -> None:
    w, v = weights_like(4, 5), weights_like(4, 5, seed=1)
    file = graph_of(whole=w, mixed=np.concatenate([w, v * 2]), other=v)
    found = places(onnx.load_from_string(file), {"w": w, "v": v})
    assert found.keys() == {"other"}


@pytest.mark.parametrize(
    ("preset", "kind"), [("sine-rnn", "int8"), ("char-gru", "int4"), ("char-lstm", "int8")]
)
def test_a_variant_passes_as_any_bundle_does(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path, preset: str, kind: SmallType
) -> None:
    source = tiny_bundle(preset)
    folder = Path(shutil.copytree(source.folder, tmp_path / preset))
    variant = export_variant(open_bundle(folder), kind)
    assert variant.folder == folder / kind
    assert variant.name == f"{preset}-{kind}"
    record = variant.manifest.variant
    assert record is not None
    assert record.of_sha256 == source.digest
    assert {weight.type for weight in record.stored.values()} >= {kind}
    for validation in (
        validation_of(variant),
        validation_of(variant, graph="generate" if "char" in preset else "forecast"),
    ):
        assert [row.status for row in validation.rows] == ["pass"] * len(validation.rows)
        assert validation.rows
    held = stored_network(variant)
    assert {name: one.values.tobytes() for name, one in held.small.items()} == {
        name: held.weights[name].tobytes() for name in held.small
    }
    open_bundle(folder).verify()  # its float32 bundle is as it was
    assert open_bundle(folder).digest == source.digest
    assert {**build_variant(source, kind)} == {
        name: (variant.folder / name).read_bytes()
        for name in [*variant.manifest.files, "manifest.json"]
    }


@pytest.mark.parametrize("kind", ["projected", "both directions"])
def test_projections_and_both_directions_have_variants(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, kind: str
) -> None:
    folder = Path(shutil.copytree(bundle_of(kind, tmp_path_factory), tmp_path / "model"))
    variant = export_variant(open_bundle(folder), "int4")
    assert variant.manifest.variant is not None
    assert "int4" in {one.type for one in variant.manifest.variant.stored.values()}
    rows = validation_of(variant).rows
    assert [row.status for row in rows] == ["pass"] * len(rows)


@pytest.mark.parametrize("name", ["reference", "openvino", "tract"])
def test_every_runtime_that_runs_a_model_runs_its_variant(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path, name: str
) -> None:
    if RUNTIMES[name].optional:
        installed(RUNTIMES[name].package)
    folder = Path(shutil.copytree(tiny_bundle("char-lstm").folder, tmp_path / "char-lstm"))
    for kind in KINDS:
        rows = validation_of(export_variant(open_bundle(folder), kind), (name,)).rows
        assert [row.reason for row in rows if row.status != "pass"] == []


class Denoiser(nn.Module):
    """A convolution, a layer in both directions' order of gates, and a projected head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gru, self.out = nn.Conv1d(3, 7, 1), nn.GRU(7, 9, 2), nn.Linear(9, 2)
        self.h: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x.transpose(1, 2)).permute(2, 0, 1)
        y, self.h = self.gru(y, self.h)
        result: Tensor = self.out(y).transpose(0, 1)
        return result


@pytest.mark.parametrize("kind", KINDS)
def test_a_module_has_variants_without_its_python(tmp_path: Path, kind: SmallType) -> None:
    torch.manual_seed(0)
    axes = {"x": {0: "batch", 1: "time"}}
    bundle = api.export(
        Denoiser(), torch.randn(2, 5, 3), name="denoiser", axes=axes, exported=tmp_path
    )
    variant = export_variant(bundle, kind)
    record = variant.manifest.variant
    assert record is not None
    assert {name for name, one in record.stored.items() if one.type == kind} == {
        *(f"gru.weight_{of}_l{layer}" for of in ("ih", "hh") for layer in range(2)),
        "conv.weight",
        "out.weight",
    } - ({"conv.weight"} if kind != "float16" else set())
    rows = validation_of(variant).rows
    assert [(row.status, row.reason) for row in rows if row.status != "pass"] == []
    arrays_ = bundle_weights(variant).arrays
    original = Denoiser().state_dict()
    assert {name: y.shape for name, y in arrays_.items()} == {
        name: tuple(y.shape) for name, y in original.items()
    }
    stream = variant.stream()
    assert np.isfinite(stream(np.zeros((1, 4, 3), np.float32))).all()


def test_the_torchscript_of_a_strangers_module_is_not_run_for_a_variant(
    pipeline: Here, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    api.export(
        Denoiser(),
        torch.randn(2, 5, 3),
        name="denoiser",
        axes={"x": {0: "batch", 1: "time"}},
        exported=tmp_path / "exported",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another user"))
        result = pipeline("export", "denoiser", "--weights", "int8")
    assert result.code == UnsafeError.exit_code
    result.one_line_error("model.pt is code")
    assert not (tmp_path / "exported" / "denoiser" / "int8").exists()


def test_variants_are_found_by_name_and_listed_beside_their_bundle(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path, pipeline: Here
) -> None:
    shutil.copytree(tiny_bundle("sine-gru").folder, tmp_path / "exported" / "sine-gru")
    result = pipeline("export", "--weights", "int8")
    assert result.code == 0, result.err
    assert "sine-gru/int8" in result.out
    assert "unchanged" in pipeline("export", "sine-gru", "--weights", "int8").err
    assert api.load("sine-gru/int8").name == "sine-gru-int8"
    root = Path("exported")
    known = find_models(root, "manifest.json", (), "export", variants=True)
    assert known == [root / "sine-gru", root / "sine-gru" / "int8"]
    assert find_models(root, "manifest.json", (), "export") == [root / "sine-gru"]
    shown = pipeline("inspect").out
    assert "sine-gru-int8" in shown
    assert "RMSE, one step" in shown
    assert Trust().judge(open_bundle(root / "sine-gru" / "int8")).refusal == ""
    with refused(UsageError, "is a variant"):
        build_variant(open_bundle(root / "sine-gru" / "int8"), "int4")


def test_what_weights_means_is_told_by_what_is_named(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path, pipeline: Here
) -> None:
    shutil.copytree(tiny_bundle("sine-gru").folder, tmp_path / "exported" / "sine-gru")
    result = pipeline("export", "sine-gru", "--weights", "int6")
    assert result.code == UsageError.exit_code
    result.one_line_error("'int6'", "int8")
    result = pipeline("export", "sine-gru", "--weights", "trained.pt")
    result.one_line_error("trained.pt is a file", "mynet.py:Denoiser", "float16, int8, int4")


def test_a_stored_weight_has_its_rows() -> None:
    one = SmallWeight(StoredWeight(type="float32", shape=(2, 3)), weights_like(2, 3))
    assert one.tensors("w")["w"].shape == (2, 3)
