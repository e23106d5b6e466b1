"""What each matrix of a model is multiplied with on calibration inputs, read from its graph.

The float32 graph is run with its inner tensors as outputs. A row of a matrix in a recurrent node is
multiplied with what the node reads, or with the h before each step; one in a matrix product, with
the other factor.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from pipeline.cells import BY_OPERATOR
from pipeline.contract.law import Array
from pipeline.contract.tensors import Tensors
from pipeline.export.session import cpu_session
from pipeline.variants.places import Place

_READS, _WEIGHTS, _RECURRENT, _START = 0, 1, 2, 5  # places of the inputs of a recurrent node

Samples = NDArray[np.float64]
"""Vectors that a matrix is multiplied with, ``[samples, columns]``."""


@dataclass(frozen=True)
class _Probe:
    """The tensors of which ``vectors`` makes what the weights ``names`` are multiplied with."""

    names: frozenset[str]
    tensors: tuple[str, ...]
    vectors: Callable[..., Array]


def inputs_of_weights(
    file: bytes, found: Mapping[str, Place], calls: Sequence[Tensors]
) -> dict[str, Samples]:
    """The vectors that weights are multiplied with in ``calls`` of the ONNX ``file``, by name.

    ``found`` are the places of the weights in its initializers. Weights that are used in another
    way, such as those of a convolution or an embedding, are left out.
    """
    model = onnx.load_from_string(file)
    probes = list(_probes(model, found))
    outputs = sorted({name for probe in probes for name in probe.tensors})
    if not outputs:
        return {}
    _give_out(model, outputs)
    session = cpu_session(model.SerializeToString())
    samples: dict[str, list[Samples]] = {}
    for feeds in calls:
        made = dict(zip(outputs, session.run(outputs, dict(feeds)), strict=True))
        for probe in probes:
            vectors = probe.vectors(*(made[name] for name in probe.tensors))
            vectors = vectors.reshape(-1, vectors.shape[-1]).astype(np.float64)
            for name in probe.names:
                samples.setdefault(name, []).append(vectors)
    return {name: np.concatenate(parts) for name, parts in sorted(samples.items())}


def _probes(model: ModelProto, found: Mapping[str, Place]) -> Iterator[_Probe]:
    sizes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for number, node in enumerate(model.graph.node):
        if node.op_type in BY_OPERATOR:
            yield from _recurrent_probes(node, found, f"probe_{number}")
        elif node.op_type in ("MatMul", "Gemm") and (place := found.get(node.input[1])):
            turns = any(one.name == "transB" and one.i for one in node.attribute)
            turned_a = any(one.name == "transA" and one.i for one in node.attribute)
            if place.turned != turns and not turned_a:
                yield from _product_probes(node.input[0], place, sizes[node.input[1]])


def _product_probes(read: str, place: Place, shape: tuple[int, ...]) -> Iterator[_Probe]:
    """The probes of a product with one matrix, or with one for each direction: ``[d, ., .]``."""
    count = shape[0] if len(shape) > 2 else 1
    size = len(place.names) // count
    for direction in range(count):

        def factor(x: Array, at: int = direction) -> Array:
            """The other factor ``[..., d, rows, columns]`` of one direction."""
            return x if count == 1 else x[..., at, :, :]

        names = frozenset(place.names[direction * size : (direction + 1) * size])
        yield _Probe(names, (read,), factor)


def _recurrent_probes(node: NodeProto, found: Mapping[str, Place], name: str) -> Iterator[_Probe]:
    if place := found.get(node.input[_WEIGHTS]):
        yield _Probe(frozenset(place.names), (node.input[_READS],), lambda x: x)
    place = found.get(node.input[_RECURRENT])
    start = node.input[_START] if len(node.input) > _START else ""
    if place is None or not start:
        return
    if not node.output[0]:
        node.output[0] = name
    backwards = {helper.get_attribute_value(a) for a in node.attribute if a.name == "direction"}
    count = 2 if backwards == {b"bidirectional"} else 1
    size = len(place.names) // count
    for direction in range(count):
        is_back = bool(direction) or backwards == {b"reverse"}

        def before(y: Array, h: Array, at: int = direction, is_back: bool = is_back) -> Array:
            """h before each step: y is ``[time, directions, batch, hidden]``."""
            steps, first = y[:, at], h[None, at]
            parts = [steps[1:], first] if is_back else [first, steps[:-1]]
            return np.concatenate(parts)

        names = frozenset(place.names[direction * size : (direction + 1) * size])
        yield _Probe(names, (node.output[0], start), before)


def _give_out(model: ModelProto, names: Sequence[str]) -> None:
    """Make the inner tensors ``names`` outputs of the graph."""
    graph = model.graph
    there = {value.name for value in (*graph.output,)}
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in names
        if name not in there
    )
