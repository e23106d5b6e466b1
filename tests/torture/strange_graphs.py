"""Hostile ONNX graphs, in a bundle with every digest right, and as one of a pair of strangers."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.contract.files import ONNX_FILE
from torture.cases import Hostile, bundle_commands, replacing
from torture.commands import TRUSTED, VALIDATE, pair
from torture.leaves import TEXTS
from torture.originals import MODELS, Originals

_HUGE = 2**40
Change = Callable[[onnx.ModelProto], Any]


def _external(location: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", "4")):
            tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=value))

    return change


def _before_all(*nodes: onnx.NodeProto, initializers: dict[str, Any] | None = None) -> Change:
    """Nodes in front of the others, the last of which makes ``extra``; it is added to an output."""

    def change(model: onnx.ModelProto) -> None:
        graph = model.graph
        for name, value in (initializers or {}).items():
            graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        first = graph.output[0].name
        for node in graph.node:
            for index, name in enumerate(node.output):
                if name == first:
                    node.output[index] = "honest"
        own = list(graph.node)
        del graph.node[:]
        graph.node.extend([*nodes, *own])
        graph.node.append(helper.make_node("ReduceMax", ["extra"], ["largest"], keepdims=0))
        graph.node.append(helper.make_node("Add", ["honest", "largest"], [first]))

    return change


def _first_initializer(change: Callable[[onnx.TensorProto], Any]) -> Change:
    return lambda model: change(model.graph.initializer[0])


def _other_dims(*dims: int) -> Change:
    def change(tensor: onnx.TensorProto) -> None:
        del tensor.dims[:]
        tensor.dims.extend(dims)

    return _first_initializer(change)


def _loop(model: onnx.ModelProto) -> None:
    """A loop without an end in front of all."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, [])],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(2**62), "many"))
    model.graph.node.insert(0, helper.make_node("Loop", ["many", "yes"], [], body=body))


def _many_nodes(model: onnx.ModelProto) -> None:
    name = model.graph.input[0].name
    for number in range(20_000):
        model.graph.node.append(helper.make_node("Identity", [name], [f"copy{number}"]))
        name = f"copy{number}"


def _renamed(text: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.producer_name = model.doc_string = text
        model.graph.name = model.graph.doc_string = text
        model.graph.node[0].name = text
        del model.metadata_props[:]
        helper.set_model_props(model, {text: text, "vocabulary": text})

    return change


GRAPHS: dict[str, Change] = {
    "data outside": _external("../../../outside/secret.txt"),
    "data in /etc": _external("/etc/hostname"),
    "data in /dev/zero": _external("/dev/zero"),
    "data in the bundle": _external("../model.safetensors"),
    "a constant of a terabyte": _before_all(
        helper.make_node("ConstantOfShape", ["shape"], ["extra"]),
        initializers={"shape": np.array([_HUGE], np.int64)},
    ),
    "a constant of 16 GB": _before_all(
        helper.make_node("ConstantOfShape", ["shape"], ["extra"]),
        initializers={"shape": np.array([2**32], np.int64)},
    ),
    "a negative shape": _before_all(
        helper.make_node("ConstantOfShape", ["shape"], ["extra"]),
        initializers={"shape": np.array([-4], np.int64)},
    ),
    "a range without an end": _before_all(
        helper.make_node("Range", ["from", "to", "by"], ["long"]),
        helper.make_node("Cast", ["long"], ["extra"], to=TensorProto.FLOAT),
        initializers={"from": np.int64(0), "to": np.int64(_HUGE), "by": np.int64(1)},
    ),
    "an expansion": _before_all(
        helper.make_node("Expand", ["one", "shape"], ["extra"]),
        initializers={"one": np.ones(1, np.float32), "shape": np.array([_HUGE], np.int64)},
    ),
    "tiles": _before_all(
        helper.make_node("Tile", ["one", "shape"], ["extra"]),
        initializers={"one": np.ones(1, np.float32), "shape": np.array([_HUGE], np.int64)},
    ),
    "a pad": _before_all(
        helper.make_node("Pad", ["one", "by"], ["extra"]),
        initializers={"one": np.ones(1, np.float32), "by": np.array([_HUGE, 0], np.int64)},
    ),
    "a loop without an end": _loop,
    "twenty thousand nodes": _many_nodes,
    "an operator of another domain": lambda m: m.graph.node.append(
        helper.make_node("Evil", [], ["x"], domain="com.evil")
    ),
    "an unknown operator": lambda m: m.graph.node.append(helper.make_node("Evil", [], ["x"])),
    "huge dimensions": _other_dims(_HUGE, _HUGE),
    "negative dimensions": _other_dims(-4, -4),
    "no data": _first_initializer(lambda tensor: tensor.ClearField("raw_data")),
    "another type": _first_initializer(lambda tensor: setattr(tensor, "data_type", 999)),
    "texts for weights": _first_initializer(
        lambda tensor: setattr(tensor, "data_type", TensorProto.STRING)
    ),
    "no outputs": lambda m: m.graph.ClearField("output"),
    "no inputs": lambda m: m.graph.ClearField("input"),
    "no nodes": lambda m: m.graph.ClearField("node"),
    "one output less": lambda m: m.graph.output.pop(),
    "the outputs the other way round": lambda m: m.graph.output.reverse(),
    "the inputs the other way round": lambda m: m.graph.input.reverse(),
    "a cycle": lambda m: m.graph.node[0].input.append(m.graph.output[0].name),
    "an opset of the future": lambda m: setattr(m.opset_import[0], "version", 999),
    "an IR of the future": lambda m: setattr(m, "ir_version", 999),
    "another weight": _first_initializer(lambda t: setattr(t, "raw_data", bytes(len(t.raw_data)))),
    **{
        f"words: {what}": _renamed(text)
        for what, text in TEXTS.items()
        if isinstance(text, str) and what not in ("surrogate", "long")
    },
}
_RAW: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "zeros": lambda data: b"\0" * 1000,
    "nested": lambda data: _nested(200),
    "deeply nested": lambda data: _nested(20_000),
}


def _nested(depth: int) -> bytes:
    """Graphs in attributes of nodes of graphs, as raw protobuf."""
    data = b""

    def field(number: int, content: bytes) -> bytes:
        size, length = len(content), b""
        while size > 127:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    for _ in range(depth):  # GraphProto.node, NodeProto.attribute, AttributeProto.g
        data = field(1, field(5, field(6, data)))
    return field(7, data)


def spoilt(change: Change) -> Callable[[bytes], bytes]:
    def make(data: bytes) -> bytes:
        model = onnx.load_from_string(data)
        change(model)
        made: bytes = model.SerializeToString()
        return made

    return make


def strange_graphs(originals: Originals) -> Iterator[Hostile]:
    """Each graph as that of a step, as that of a loop, and as one that a stranger sent alone."""
    makes = {what: spoilt(change) for what, change in GRAPHS.items()} | _RAW
    for what, make in makes.items():
        for model in MODELS:
            bundle = originals.bundle(model)
            loop = bundle.manifest.loop
            for file in (ONNX_FILE, *([loop.file] if loop else [])):
                own = f"--onnx={{}}/{file}"
                commands = bundle_commands(
                    bundle,
                    TRUSTED,
                    pair(own, own),
                    pair(own, "torchscript"),
                    (*VALIDATE, "--runtime=reference", "--time-limit=5"),
                )
                yield Hostile(
                    f"{model}: {file} with {what}", model, replacing(file, make), commands
                )
