"""Variants of tiny networks: every weight is worth to store small, and streams end soon."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.contract.law import Array
from pipeline.export import OPSETS
from pipeline.variants import rounding, scores


def store_all_small(patch: pytest.MonkeyPatch) -> None:
    """Store weights small however few they are, and judge a variant by a stream of 1,000 steps."""
    patch.setattr(rounding, "_AROUND", dict.fromkeys(rounding._AROUND, 0))
    patch.setattr(scores, "STREAM", 1000)


def weights_like(*shape: int, seed: int = 0) -> Array:
    """Normal weights of a shape."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


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
