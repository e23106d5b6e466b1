"""The range of an input's integers, where the graph uses them as indices into a table it holds."""

from onnx import ModelProto

from pipeline.contract.graph import nodes_in

# Operators whose output has the values of their first input.
_SAME = {"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten", "Expand"}


def table_sizes(model: ModelProto) -> dict[str, int]:
    """For each input of a graph that indexes a table of weights: the number of its entries.

    An index of ``Gather`` counts along the operator's ``axis``
    (https://onnx.ai/onnx/operators/onnx__Gather.html). Of several tables the smallest counts.
    """
    tables = {item.name: tuple(item.dims) for item in model.graph.initializer}
    source = {item.name: item.name for item in model.graph.input}
    sizes: dict[str, int] = {}
    for node in nodes_in(model.graph):
        attributes = {item.name: item for item in node.attribute}
        first = node.input[0] if node.input else ""
        if node.op_type == "Constant" and "value" in attributes:
            tables[node.output[0]] = tuple(attributes["value"].t.dims)
        elif node.op_type in _SAME:
            if first in source:
                source[node.output[0]] = source[first]
            if node.op_type == "Identity" and first in tables:
                tables[node.output[0]] = tables[first]
        elif node.op_type == "Gather" and tables.get(first) and node.input[1] in source:
            axis = attributes["axis"].i if "axis" in attributes else 0
            name, size = source[node.input[1]], tables[first][axis]
            sizes[name] = min(size, sizes.get(name, size))
    return sizes
