"""Faults inside the recurrent layers: gates, weights, biases and attributes of their nodes."""

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto, helper

from pipeline.cells import BY_OPERATOR
from pipeline.cells.entry import Entry
from pipeline.validate.faults.fault import Fault, FaultyGraph, Plant


def _attribute(node: NodeProto, name: str, value: object) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def _reorder_gates(g: FaultyGraph, order: Sequence[int]) -> None:
    gates = len(g.cell.gates)
    for node in g.recurrent:
        for name in node.input[1:3]:
            blocks = np.split(g.constant(name), gates, axis=1)
            g.set_constant(name, np.concatenate([blocks[gate] for gate in order], axis=1))
        halves = np.split(g.constant(node.input[3]), 2, axis=1)
        parts = [np.split(half, gates, axis=1) for half in halves]
        bias = [blocks[gate] for blocks in parts for gate in order]
        g.set_constant(node.input[3], np.concatenate(bias, axis=1))


def _left_to_onnx(cell: Entry, attribute: str) -> Plant:
    """Leave out an attribute without which ONNX means something else than PyTorch."""

    def plant_default(g: FaultyGraph) -> None:
        g.require(g.cell is cell)
        for node in g.recurrent:
            _attribute(node, attribute, 0)

    return plant_default


def _pytorch_gates(g: FaultyGraph) -> None:
    g.require(g.cell.is_gated)
    _reorder_gates(g, [int(place) for place in np.argsort(g.cell.onnx_order)])


def _two_gates(g: FaultyGraph) -> None:
    g.require(g.cell.is_gated)
    _reorder_gates(g, [1, 0, *range(2, len(g.cell.gates))])


def _input_and_recurrent_weights(g: FaultyGraph) -> None:
    nodes = [n for n in g.recurrent if g.constant(n.input[1]).shape == g.constant(n.input[2]).shape]
    g.require(bool(nodes))
    for node in nodes:
        node.input[1], node.input[2] = node.input[2], node.input[1]


def _bias_halves(g: FaultyGraph) -> None:
    g.require(bool(g.cell.apart))  # else the two halves are added before anything else
    for node in g.recurrent:
        w, r = np.split(g.constant(node.input[3]), 2, axis=1)
        g.set_constant(node.input[3], np.concatenate([r, w], axis=1))


def _no_bias(g: FaultyGraph) -> None:
    for node in g.recurrent:
        node.input[3] = ""


def _reversed_time(g: FaultyGraph) -> None:
    for node in g.recurrent:
        _attribute(node, "direction", "reverse")


def _relu(g: FaultyGraph) -> None:
    g.require(g.cell.has_nonlinearity)
    for node in g.recurrent:
        _attribute(node, "activations", ["Relu"])


FAULTS = (
    *(
        Fault(f"{cell.operator} with {attribute}=0", _left_to_onnx(cell, attribute))
        for cell in BY_OPERATOR.values()
        for attribute in cell.attributes
    ),
    Fault("gates in PyTorch order", _pytorch_gates),
    Fault("two gates swapped", _two_gates),
    Fault("input and recurrent weights swapped", _input_and_recurrent_weights),
    Fault("bias halves swapped", _bias_halves),
    Fault("recurrent biases dropped", _no_bias),
    Fault("time direction reversed", _reversed_time),
    Fault("tanh replaced by relu", _relu),
)
