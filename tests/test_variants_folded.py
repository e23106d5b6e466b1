"""Weights that exporters turn, stack, share or fold are small in a variant where they can be."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from embedded import bundle_of
from onnx import TensorProto, helper, numpy_helper
from small_variants import graph_of, weights_like
from tiny import open_session, validation_of
from torch import Tensor, nn

import pipeline as api
from pipeline.bundle import open_bundle
from pipeline.contract.bundle_weights import bundle_weights
from pipeline.contract.files import ONNX_FILE
from pipeline.contract.law import Array
from pipeline.contract.small_weights import SmallType
from pipeline.export import OPSETS
from pipeline.run.bundle import Bundle
from pipeline.run.export import export_variant
from pipeline.variants.calibration import inputs_of_weights
from pipeline.variants.graph import small_graph
from pipeline.variants.places import places
from pipeline.variants.rounding import rounded_to_nearest

pytestmark = pytest.mark.usefixtures("small_enough")
FLOAT, SMALL = TensorProto.FLOAT, (TensorProto.INT8, TensorProto.UINT8)


def types_in(bundle: Bundle) -> list[tuple[int, tuple[int, ...]]]:
    """The type and the shape of every initializer of the graph of a bundle."""
    model = onnx.load_from_string(bundle.read(ONNX_FILE))
    return [(one.data_type, tuple(one.dims)) for one in model.graph.initializer]


def stored_types(bundle: Bundle) -> dict[str, str]:
    assert bundle.manifest.variant is not None
    return {name: one.type for name, one in bundle.manifest.variant.stored.items()}


@pytest.mark.parametrize("kind", ["float16", "int8", "int4"])
@pytest.mark.parametrize("columns", [8, 9])
def test_matrices_that_are_turned_and_stacked_are_made_bit_for_bit(
    kind: SmallType, columns: int
) -> None:
    originals = {"one": weights_like(5, columns), "other": weights_like(5, columns, seed=1)}
    stored = rounded_to_nearest(originals, kind)
    held = {name: one.values for name, one in stored.items()}
    stack = np.stack([held["other"].T, held["one"].T])
    file = small_graph(graph_of(stack=stack), stored)
    [found] = open_session(file).run(None, {})
    assert found.tobytes() == np.ascontiguousarray(stack).tobytes()
    sizes = [one.data_type for one in onnx.load_from_string(file).graph.initializer if one.dims]
    assert sizes[0] in (*SMALL, TensorProto.FLOAT16)


def test_what_is_multiplied_with_a_stack_is_parted_by_direction() -> None:
    weights = {"forth": weights_like(2, 4), "back": weights_like(2, 4, seed=1)}
    stack = np.stack([y.T for y in weights.values()])
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "p"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", FLOAT, ["time", 2, "batch", 4])],
        [helper.make_tensor_value_info("y", FLOAT, ["time", 2, "batch", 2])],
        [numpy_helper.from_array(np.ascontiguousarray(stack), "p")],
    )
    opset = [helper.make_opsetid("", OPSETS.start)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    x = weights_like(3, 2, 5, 4, seed=2)
    samples = inputs_of_weights(model.SerializeToString(), places(model, weights), [{"x": x}])
    assert samples.keys() == weights.keys()
    for direction, name in enumerate(weights):
        assert (samples[name] == x[:, direction].reshape(-1, 4)).all()


def test_the_projection_of_a_network_is_small_in_its_graph(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(bundle_of("projected", tmp_path_factory), tmp_path / "model"))
    variant = export_variant(open_bundle(folder), "float16")
    small = [shape for type_, shape in types_in(variant) if type_ == TensorProto.FLOAT16]
    rows, columns = bundle_weights(variant).arrays["recurrent.layers.weight_hr_l0"].shape
    assert (1, columns, rows) in small
    rows_ = validation_of(variant).rows
    assert [row.reason for row in rows_ if row.status != "pass"] == []


class Projected(nn.Module):
    """A layer in both directions, whose projections are folded into its recurrent weights."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(9, 12, proj_size=8, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lstm(x)[0]
        return y


class Tied(nn.Module):
    """Two layers that share one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, 12), nn.Linear(12, 12)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(torch.tanh(self.first(x)))
        return y


def variant_of(module: nn.Module, columns: int, kind: SmallType, folder: Path) -> Bundle:
    torch.manual_seed(0)
    bundle = api.export(
        module,
        torch.randn(2, 5, columns),
        name="module",
        axes={"x": {0: "batch", 1: "time"}},
        states="none",
        exported=folder,
    )
    return export_variant(bundle, kind)


def test_weights_beside_those_that_are_folded_are_small_if_nothing_else_holds_them(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    variant = variant_of(Projected(), 9, "int8", tmp_path)
    ends = ("l0", "l0_reverse")
    assert {name: type_ for name, type_ in stored_types(variant).items() if "bias" not in name} == {
        f"lstm.weight_ih_{end}": "int8" for end in ends
    }
    assert (TensorProto.INT8, (2, 48, 9)) in types_in(variant)
    rows = validation_of(variant).rows
    assert [row.reason for row in rows if row.status != "pass"] == []


@pytest.mark.parametrize("kind", ["float16", "int4"])
def test_a_matrix_that_layers_share_is_the_same_by_all_of_its_names(
    tmp_path: Path, kind: SmallType
) -> None:
    torch.manual_seed(0)
    variant = variant_of(Tied(), 12, kind, tmp_path)
    types: Mapping[str, str] = stored_types(variant)
    assert types["first.weight"] == types["second.weight"] == kind
    arrays: dict[str, Array] = bundle_weights(variant).arrays
    assert (arrays["first.weight"] == arrays["second.weight"]).all()
    rows = validation_of(variant).rows
    assert [row.reason for row in rows if row.status != "pass"] == []
