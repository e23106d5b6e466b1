"""Small weights: how they are rounded, compensated, stored, and read again."""

import json
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
from onnx import TensorProto
from small_variants import graph_of, weights_like
from tiny import open_session
from torch import nn

from pipeline.bundle import Bundle, open_bundle
from pipeline.bundle.variant_network import NetworkToStore
from pipeline.contract.law import Array
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
from pipeline.variants import choice, scores
from pipeline.variants.compensation import compensated, fitted
from pipeline.variants.full_graph import with_full_weights
from pipeline.variants.graph import small_graph
from pipeline.variants.places import places
from pipeline.variants.rounding import nearest, rounded_to_nearest, type_of

pytestmark = pytest.mark.usefixtures("small_enough")
KINDS: tuple[SmallType, ...] = ("float16", "int8", "int4")


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


def test_a_stored_weight_has_its_rows() -> None:
    one = SmallWeight(StoredWeight(type="float32", shape=(2, 3)), weights_like(2, 3))
    assert one.tensors("w")["w"].shape == (2, 3)


@pytest.mark.parametrize("kind", sorted(LARGEST))
def test_errors_are_compensated_on_what_a_matrix_is_multiplied_with(kind: str) -> None:
    rng = np.random.default_rng(3)
    samples = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 24)) + 0.01 * rng.normal(
        size=(400, 24)
    )
    matrix, bias = weights_like(10, 24), weights_like(10, seed=1)
    wanted = samples @ matrix.astype(np.float64).T + bias
    largest = LARGEST[kind]

    def error(numbers: Array, scale: Array, bias: Array) -> float:
        made = samples @ (numbers * scale[:, None]).astype(np.float64).T + bias
        return float(np.sqrt(((made - wanted) ** 2).mean()))

    plain = error(*nearest(matrix, largest), bias)
    found = compensated(matrix, bias, samples, largest, 1e-4)
    assert found.bias is not None
    assert found.scale is not None
    assert np.abs(found.numbers).max() <= largest
    assert error(found.numbers, found.scale, found.bias) < 0.5 * plain
    alone = compensated(matrix, None, samples, largest, 1e-4)
    assert alone.bias is None
    assert alone.scale is not None
    assert error(alone.numbers, alone.scale, bias) < 0.5 * plain
    again = compensated(matrix, bias, samples, largest, 1e-4)
    assert (again.numbers == found.numbers).all()
    half = compensated(matrix, bias, samples, None, 1e-4)
    assert half.bias is not None
    one, rounded = np.ones(10, np.float32), matrix.astype(np.float16)
    assert error(half.numbers, one, half.bias) < 0.5 * error(rounded, one, bias)


def test_the_last_layer_is_fitted_to_what_it_gave() -> None:
    rng = np.random.default_rng(0)
    matrix, bias, samples = weights_like(2, 5), weights_like(2), rng.normal(size=(50, 5))
    moved = samples @ np.diag([1, 1.1, 0.9, 1, 1.2]) + 0.1
    wanted = samples @ matrix.T.astype(np.float64) + bias
    w, b = fitted(matrix, bias, moved, wanted)
    assert np.abs(moved @ w.T + b - wanted).max() < 1e-2
    assert np.abs(moved @ matrix.T + bias - wanted).max() > 0.1


def test_the_inputs_of_weights_are_those_of_the_layers(
    tiny_bundle: Callable[[str], Bundle], tmp_path_factory: pytest.TempPathFactory
) -> None:
    subject = NetworkToStore(tiny_bundle("sine-lstm"))  # two layers
    [call] = subject.scored.calls()
    found = subject.inputs([call])
    network = subject.network
    with torch.no_grad():
        x, h0, c0 = network.encoder(torch.from_numpy(call["input"])), *torch.zeros(2, 2, 1, 6)
        first = nn.LSTM(1, 6, batch_first=True)
        weights = network.recurrent.layers.state_dict()
        first.load_state_dict({name: y for name, y in weights.items() if name.endswith("_l0")})
        h, _ = first(x, (h0[:1], c0[:1]))
    before = torch.cat([torch.zeros(1, 1, 6), h[:, :-1]], dim=1)[0]
    assert np.allclose(found["recurrent.layers.weight_ih_l0"], x[0].numpy(), atol=1e-5)
    assert np.allclose(found["recurrent.layers.weight_hh_l0"], before.numpy(), atol=1e-5)
    assert np.allclose(found["recurrent.layers.weight_ih_l1"], h[0].numpy(), atol=1e-5)
    assert np.allclose(found["head.weight"], subject.before_last({}, [call]), atol=1e-5)

    both = NetworkToStore(open_bundle(bundle_of("both directions", tmp_path_factory)))
    calls = both.scored.calls()
    read = both.inputs(calls)
    y = read["head.weight"]
    assert y.shape[0] == len(calls[0]["input"])  # the first of one direction, the last of the other
    backwards = read["recurrent.layers.weight_hh_l0_reverse"]
    assert backwards.shape == read["recurrent.layers.weight_hh_l0"].shape
    batch = len(calls[0]["input"])
    assert (backwards.reshape(-1, batch, 4)[-1] == 0).all()  # it starts at the end
    assert (read["recurrent.layers.weight_hh_l0"].reshape(-1, batch, 4)[0] == 0).all()


def test_layers_stay_in_float32_until_the_loss_is_small_enough(
    tiny_bundle: Callable[[str], Bundle],
    tmp_path: Path,
    pipeline: Here,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choice, "loss", scores.distance)  # a score that is better counts, too
    shutil.copytree(tiny_bundle("sine-rnn").folder, tmp_path / "exported" / "sine-rnn")
    result = pipeline("export", "--weights", "int4", "--max-loss", "0%", "--json")
    assert result.code == 0, result.err
    [made] = json.loads(result.out)
    variant = made["variant"]
    assert variant["max_loss"] == 0
    assert len(variant["kept"]) == 5  # W and R of two layers, and the head
    assert all(variant["stored"][name]["type"] == "float32" for name in variant["kept"])
    assert f"{', '.join(variant['kept'])} stay in float32" in result.err
    chosen = variant["rounding"]
    assert all(one[chosen] == one["float32"] for one in variant["scores"])
    pipeline("export", "--weights", "int4", "--max-loss", "much").one_line_error("such as 1%")
    pipeline("export", "--max-loss", "1%").one_line_error("--max-loss", "--weights float16")
