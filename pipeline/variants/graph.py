"""The graph of a variant: weights stored small, and the nodes that make float32 of them.

These nodes stand first in a graph, and what they make has the name of the initializer whose place
they take, so the rest of the graph is as it was. Runtimes compute them once, when they load it.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper

from pipeline.contract.law import Array
from pipeline.contract.small_weights import SmallWeight
from pipeline.errors import ParityError
from pipeline.export.graph_checks import format_breaches
from pipeline.variants.decoding import Decoded, decoded
from pipeline.variants.full_graph import inner_graphs, with_full_weights
from pipeline.variants.places import Place, places


def small_graph(
    file: bytes, weights: Mapping[str, SmallWeight], originals: Mapping[str, Array] | None = None
) -> bytes:
    """The ONNX ``file`` with ``weights`` stored small, wherever they lie in it.

    ``file`` holds the values of ``weights``, or else the ``originals`` that they take the place of.

    Raises:
        ParityError: what came out is no sound graph, or does not hold these weights.
    """
    model = onnx.load_from_string(file)
    stored = {name: one for name, one in weights.items() if one.kind.type != "float32"}
    held = {name: one.values for name, one in stored.items()}
    found = places(model, {name: originals[name] for name in stored} if originals else held)
    small = with_small_weights(model, found, stored)
    if breaches := list(format_breaches(small)):
        raise ParityError(f"the graph of the variant is not sound: {'; '.join(breaches)}")
    again = with_full_weights(small)
    if list(again.graph.node) != list(model.graph.node):
        raise ParityError("the graph of the variant computes something else than the float32 one")
    full = {one.name: numpy_helper.to_array(one) for one in again.graph.initializer}
    for tensor in model.graph.initializer:
        place, array = found.get(tensor.name), numpy_helper.to_array(tensor)
        if place is not None:
            rows = zip(place.names, place.rows, strict=True)
            matrix = np.stack([held[name].reshape(len(held[name]), -1)[row] for name, row in rows])
            array = place.laid_out(matrix, array.shape).reshape(array.shape)
        if full.get(tensor.name, array).tobytes() != array.tobytes() or tensor.name not in full:
            raise ParityError(f"the graph of the variant gives other numbers for {tensor.name}")
    content: bytes = small.SerializeToString(deterministic=True)
    return content


def with_small_weights(
    model: ModelProto, found: Mapping[str, Place], weights: Mapping[str, SmallWeight]
) -> ModelProto:
    """``model`` with ``weights`` in the ``found`` places of its initializers.

    Tables of whole numbers, such as those of code points, are stored in fewer bytes, too.
    """
    changed = ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    stored: dict[str, Decoded] = {}
    for number, tensor in enumerate(model.graph.initializer):
        place = found.get(tensor.name)
        stored[tensor.name] = decoded(f"w{number}", tensor, place, weights)
    for number, inner in enumerate(inner_graphs(graph)):
        _make_first(inner, stored, f"/{number}")
    _make_first(graph, stored, "")
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(tensor for added in stored.values() for tensor in added.tensors)
    return changed


def _make_first(graph: GraphProto, stored: Mapping[str, Decoded], suffix: str) -> None:
    """Put nodes first in ``graph`` that make the weights that its own nodes read.

    The body of a loop has nodes of its own, since not every runtime lets it read what is computed
    outside; what they make has a ``suffix``.
    """
    read = {name for node in graph.node for name in node.input}
    nodes = [node for name, added in stored.items() if name in read for node in added.nodes]
    made = {name for node in nodes for name in node.output}
    copies: list[NodeProto] = []
    for node in (*nodes, *graph.node):
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [name + suffix if name in made else name for name in node.input]
        if len(copies) < len(nodes):
            copy.output[:] = [name + suffix for name in node.output]
        copies.append(copy)
    del graph.node[:]
    graph.node.extend(copies)
