"""Faults in how weights are stored small, and in what makes float32 of them."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from pipeline.validate.faults.fault import Fault, FaultyGraph


def _scaled(g: FaultyGraph) -> list[tuple[str, str]]:
    """The names of the whole numbers and of the scales of every weight that has some."""
    made = {node.output[0]: node for node in g.graph.node}
    types = {tensor.name: tensor.data_type for tensor in g.graph.initializer}
    found = []
    for node in g.graph.node:
        if node.op_type == "Mul" and types.get(node.input[1]) == TensorProto.FLOAT:
            [*_, first] = _back(node.input[0], made)
            if types.get(first) in (TensorProto.INT8, TensorProto.UINT8):
                found.append((first, node.input[1]))
    g.require(bool(found))
    return found


def _back(name: str, made: dict[str, NodeProto]) -> Iterator[str]:
    """``name``, the first input of the node that makes it, and so on."""
    while True:
        yield name
        if name not in made or not made[name].input:
            return
        name = made[name].input[0]


def _int8(g: FaultyGraph) -> list[str]:
    names = [numbers for numbers, _ in _scaled(g)]
    return [name for name in names if g.constant(name).dtype == np.int8]


def _wrong_scale(g: FaultyGraph) -> None:
    _, name = _scaled(g)[-1]
    g.set_constant(name, (g.constant(name).astype(np.float64) * 1.01).astype(np.float32))


def _scale_of_another_row(g: FaultyGraph) -> None:
    _, name = _scaled(g)[-1]
    scale = g.constant(name)
    g.require(scale.size > 1)
    g.set_constant(name, np.roll(scale.ravel(), 1).reshape(scale.shape))


def _scale_in_float16(g: FaultyGraph) -> None:
    _, name = _scaled(g)[-1]
    g.set_constant(name, g.constant(name).astype(np.float16).astype(np.float32))


def _zero_point(g: FaultyGraph) -> None:
    for name, _ in _scaled(g):
        g.set_constant(name, _one_more(g.constant(name)))


def _one_more(numbers: NDArray[np.generic]) -> NDArray[np.generic]:
    """Whole numbers, each one more than it was, up to the largest there is."""
    if numbers.dtype == np.int8:
        more: NDArray[np.generic] = np.minimum(numbers.astype(np.int16) + 1, 127).astype(np.int8)
        return more
    low, high = _nibbles(numbers)
    both: NDArray[np.generic] = np.minimum(low + 1, 15) | np.minimum(high + 1, 15) << 4
    return both.astype(np.uint8)


def _nibbles(numbers: NDArray[np.generic]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """The lower and the upper four bits of bytes."""
    whole = numbers.astype(np.int16)
    return whole & 15, whole >> 4


def _saturated(g: FaultyGraph) -> None:
    names = _int8(g)
    g.require(bool(names))
    for name in names:
        g.set_constant(name, np.clip(g.constant(name), -64, 63))


def _swapped_nibbles(g: FaultyGraph) -> None:
    names = [name for name, _ in _scaled(g) if g.constant(name).dtype == np.uint8]
    g.require(bool(names))
    for name in names:
        low, high = _nibbles(g.constant(name))
        g.set_constant(name, (low << 4 | high).astype(np.uint8))


def _one_off(g: FaultyGraph) -> None:
    name, _ = _scaled(g)[-1]
    numbers = g.constant(name)
    numbers.view(np.uint8).reshape(-1)[-1] ^= 1
    g.set_constant(name, numbers)


def _rounded_state(g: FaultyGraph) -> None:
    """The state in whole numbers and back, as if its range were that of int8."""
    _scaled(g)
    g.require(bool(g.contract.states))
    for _, after in g.contract.states:
        steps = f"{after}_steps"
        constant = helper.make_node("Constant", [], [steps], name=steps, value_float=127.0)
        g.before(g.graph.node[0], constant)
        g.after_all(after, partial(_whole, after, steps))


def _whole(after: str, steps: str, honest: str) -> list[NodeProto]:
    return [
        helper.make_node("Mul", [honest, steps], [f"{after}_scaled"]),
        helper.make_node("Round", [f"{after}_scaled"], [f"{after}_whole"]),
        helper.make_node("Div", [f"{after}_whole", steps], [after]),
    ]


FAULTS = (
    Fault("scales of a small weight 1 % off", _wrong_scale),
    Fault("scales of other rows", _scale_of_another_row),
    Fault("scales rounded to float16", _scale_in_float16),
    Fault("zero point off by one", _zero_point),
    Fault("whole numbers saturated", _saturated),
    Fault("int4 numbers in a byte swapped", _swapped_nibbles),
    Fault("one whole number off by one", _one_off),
    Fault("state rounded to whole numbers between calls", _rounded_state),
)
