"""Faults around the layers: scaler, vocabulary and head, and numbers that are not as trained."""

import ml_dtypes
import numpy as np
import onnx
from onnx import NodeProto

from pipeline.network_tensors import INPUT
from pipeline.validate.faults.fault import Fault, FaultyGraph, Plant


def _scaler_nodes(g: FaultyGraph, *operators: str) -> list[NodeProto]:
    names = (".mean", ".std")
    found = [n for n in g.graph.node if n.op_type in operators and n.input[-1].endswith(names)]
    g.require(len(found) == len(operators))
    return found


def _no_scaler_in(g: FaultyGraph) -> None:
    subtract, divide = _scaler_nodes(g, "Sub", "Div")
    user = next(node for node in g.graph.node if divide.output[0] in node.input)
    user.input[0] = subtract.input[0]


def _no_scaler_out(g: FaultyGraph) -> None:
    multiply, add = _scaler_nodes(g, "Mul", "Add")
    add.op_type = "Identity"
    add.input[:] = [multiply.input[0]]


def _wrong_deviation(g: FaultyGraph) -> None:
    _, divide = _scaler_nodes(g, "Sub", "Div")
    deviation = g.constant(divide.input[1]).astype(np.float64) * 1.01
    g.set_constant(divide.input[1], deviation.astype(np.float32))


def _table(g: FaultyGraph) -> str:
    node = next((n for n in g.graph.node if n.op_type == "Gather"), None)
    g.require(node is not None and g.contract.inputs[0].name == INPUT)
    assert node is not None
    g.require(INPUT in g.node_of(g.node_of(node.input[1]).input[0]).input)
    return str(node.input[0])


def _shifted_vocabulary(g: FaultyGraph) -> None:
    table = g.constant(name := _table(g)).astype(np.int64)
    shifted = np.where(table > 0, table % table.max() + 1, 0)
    g.set_constant(name, shifted.astype(np.int32))


def _unknown_to_real(g: FaultyGraph) -> None:
    table = g.constant(name := _table(g))
    g.set_constant(name, np.where(table == 0, table.dtype.type(1), table))


def _no_head_bias(g: FaultyGraph) -> None:
    name = next((one.name for one in g.graph.initializer if one.name.endswith("head.bias")), "")
    g.set_constant(name, np.zeros_like(g.constant(name)))


def _flipped_bit(g: FaultyGraph) -> None:
    name = g.recurrent[-1].input[2]
    weight = g.constant(name)
    weight.view(np.uint32).reshape(-1)[-1] ^= 1  # the least significant bit
    g.set_constant(name, weight)


def _rounded(kind: np.dtype[np.generic]) -> Plant:
    def plant_rounding(g: FaultyGraph) -> None:
        for item in g.graph.initializer:
            if item.data_type == onnx.TensorProto.FLOAT:
                array = g.constant(item.name)
                g.set_constant(item.name, array.astype(kind).astype(np.float32))

    return plant_rounding


FAULTS = (
    Fault("scaler left out on the way in", _no_scaler_in),
    Fault("scaler left out on the way out", _no_scaler_out),
    Fault("scaler with the wrong deviation", _wrong_deviation),
    Fault("vocabulary shifted by one", _shifted_vocabulary),
    Fault("unknown characters mapped to a real one", _unknown_to_real),
    Fault("head bias dropped", _no_head_bias),
    Fault("one bit of a weight flipped", _flipped_bit),
    Fault("weights rounded to float16", _rounded(np.dtype(np.float16))),
    Fault("weights rounded to bfloat16", _rounded(np.dtype(ml_dtypes.bfloat16))),
)
