"""Post-conditions of every exported graph: sound, and its recurrent nodes what they have to be."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import onnx
from onnx import ModelProto, NodeProto

from pipeline.cells import BY_OPERATOR

_LARGEST = 2**31 - 1  # bytes that one protobuf message can have


def format_breaches(model: ModelProto) -> Iterator[str]:
    """What no ONNX file may be: ill-formed, too large for one file, with operators of others."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        yield " ".join(str(error).split())
    if model.ByteSize() > _LARGEST:
        yield "it is over 2 GB"
    if model.functions or any(entry.domain for entry in model.opset_import):
        yield "it uses operators outside the default domain"


class RecurrentNode(NamedTuple):
    """What a recurrent node has to be."""

    operator: str
    hidden_size: int
    directions: int = 1
    activation: str = "Tanh"  # of a cell that has the choice


def recurrent_breaches(model: ModelProto, wanted: Sequence[RecurrentNode]) -> Iterator[str]:
    """Recurrent nodes that are missing, too many, or compute something else."""
    found = [node for node in model.graph.node if node.op_type in BY_OPERATOR]
    if [node.op_type for node in found] != [node.operator for node in wanted]:
        operators = " and ".join(dict.fromkeys(node.operator for node in wanted))
        yield f"{len(found)} recurrent nodes, not {len(wanted)} of {operators}"
    initializers = {initializer.name for initializer in model.graph.initializer}
    for node, kind in zip(found, wanted, strict=False):
        yield from _node_breaches(node, initializers, kind)


def _node_breaches(node: NodeProto, initializers: set[str], kind: RecurrentNode) -> Iterator[str]:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    wanted: dict[str, object] = {"hidden_size": kind.hidden_size}
    neutral: dict[str, object] = {"layout": 0, "input_forget": 0}
    wanted |= BY_OPERATOR[node.op_type].attributes
    activations = [kind.activation.encode()] * kind.directions
    if BY_OPERATOR[node.op_type].has_nonlinearity:
        (neutral if kind.activation == "Tanh" else wanted)["activations"] = activations
    if kind.directions == 2:
        wanted["direction"] = b"bidirectional"
    else:
        neutral["direction"] = b"forward"
    for name, value in wanted.items():
        if attributes.pop(name, None) != value:
            yield f"{node.name} needs {name}={value}"
    for name, value in attributes.items():
        if neutral.get(name) != value:
            yield f"{node.name} must not set {name}"
    if not set(filter(None, node.input[1:4])) <= initializers:
        yield f"the weights of {node.name} are computed in the graph"
    if len(node.input) > 7 and node.input[7]:
        yield f"{node.name} has peepholes"


def dims(value: onnx.ValueInfoProto) -> list[int | str | None]:
    """The axes of a tensor: a size, the name of a dynamic one, or nothing if unknown."""
    return [
        dim.dim_param or (dim.dim_value if dim.HasField("dim_value") else None)
        for dim in value.type.tensor_type.shape.dim
    ]
