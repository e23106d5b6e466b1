"""A variant's graph with its weights in float32 again, computed in NumPy as its first nodes say."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from pipeline.contract.law import Array


def with_full_weights(model: ModelProto) -> ModelProto:
    """``model`` with the float32 initializers that the first nodes of a variant make.

    Of any other model nothing is changed, apart from the shapes of inner tensors, which are gone.

    Raises:
        ValueError: the first nodes cannot be computed.
    """
    full = ModelProto()
    full.CopyFrom(model)
    graph = full.graph
    held = {tensor.name: tensor for tensor in graph.initializer}
    made: dict[str, Array] = {}
    for number, inner in enumerate(inner_graphs(graph)):
        made |= _computed(inner, held, f"/{number}")
    made |= _computed(graph, held, "")
    used = {name for node in graph.node for name in _read_by(node)}
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(tensor for name, tensor in held.items() if name in used or not made)
    graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in made.items() if name in used
    )
    return full


def inner_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graphs inside the nodes of ``graph``, such as the bodies of loops, and inside those."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
                yield from inner_graphs(attribute.g)


def _computed(graph: GraphProto, held: Mapping[str, TensorProto], suffix: str) -> dict[str, Array]:
    """What the first nodes of ``graph`` make, by its name without ``suffix``; they are removed."""
    most = 2 * sum(math.prod(tensor.dims) for tensor in held.values())  # int4: two in a byte
    made: dict[str, Array] = {}
    nodes = list(graph.node)
    while nodes and nodes[0].op_type in _COMPUTE and {*nodes[0].input} <= held.keys() | made.keys():
        node = nodes.pop(0)
        given = [
            made[name] if name in made else numpy_helper.to_array(held[name]) for name in node.input
        ]
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        made[node.output[0]] = array = _COMPUTE[node.op_type](*given, **attributes)
        if array.size > most:
            raise ValueError(f"{node.output[0][:80]} is larger than the weights that it is made of")
    for node in nodes:
        node.input[:] = [name.removesuffix(suffix) if name in made else name for name in node.input]
    del graph.node[:]
    graph.node.extend(nodes)
    return {name.removesuffix(suffix): array for name, array in made.items()}


def _read_by(node: NodeProto) -> Iterator[str]:
    """The names of all tensors that a node and the graphs inside it read."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _read_by(inner)


def _cast(array: Array, to: int) -> Array:
    return array.astype(helper.tensor_dtype_to_np_dtype(to))


def _slice(array: Array, starts: Array, ends: Array, axes: Array) -> Array:
    cuts = [slice(None)] * array.ndim
    for start, end, axis in zip(starts, ends, axes, strict=True):
        cuts[int(axis)] = slice(int(start), int(end))
    return array[tuple(cuts)]


_COMPUTE: dict[str, Any] = {
    "Cast": _cast,
    "Mul": np.multiply,
    "Sub": np.subtract,
    "Div": np.floor_divide,  # of whole numbers that are not negative
    "Concat": lambda *arrays, axis: np.concatenate(arrays, axis),
    "Reshape": lambda array, sizes: array.reshape([int(size) for size in sizes]),
    "Slice": _slice,
}
"""What the nodes of a variant compute, in NumPy."""
