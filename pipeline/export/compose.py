"""Pieces of a core graph put to use in larger graphs, so that no network is described twice.

A core graph (input, state) → (output, next_state) falls into two: the *trunk* reads an input and
gives the next state, and the *head* makes the output of the last layer's h. So a state says what
comes next before anything more is read, and a loop is: head, choice, trunk.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import (
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from pipeline.contract.tensors import TensorSpec
from pipeline.model import Network
from pipeline.signature import BATCH, INPUT, NEXT_STATE, OUTPUT, STATE, loop, signature

INT64, FLOAT, BOOL = TensorProto.INT64, TensorProto.FLOAT, TensorProto.BOOL

_EMBEDDING = "encoder.1.weight"
_SIZED = "batch_time"  # in a loop, what is as large as the input would be, [batch, time, …]


class Core:
    """The core graph of a network that carries a state, in parts that can be used again.

    The state comes as ``rows`` ``[S, batch, hidden]``. Round a loop goes each row on its own, and
    all has the one step first, ``[1, batch, …]`` as recurrent nodes have it: to put rows together
    and turn axes costs as much as anything else in a step.
    """

    def __init__(self, model: ModelProto, network: Network) -> None:
        self.model, self.config = model, network.config
        graph = model.graph
        self.weights = {item.name: item for item in graph.initializer}
        maker = {name: node for node in graph.node for name in node.output}
        reader = {name: node for node in reversed(graph.node) for name in node.input}
        biased = reader["head.bias"]
        self._features = maker[biased.input[0]].input[0]  # [batch, time, h], what the head reads
        self._rows, self._rows_after = reader[STATE].output[0], maker[NEXT_STATE].input[0]
        apart, together = reader[self._rows], maker[self._rows_after]
        several = self.rows_shape[0] > 1
        self._each = [*apart.output] if several else [self._rows]
        self._each_after = [*together.input] if several else [self._rows_after]
        # A text comes as code points, and what the loop makes is an entry of the embedding already.
        self._entry = reader[_EMBEDDING].input[1] if _EMBEDDING in reader else INPUT
        self._trunk = _needed(graph, [self._rows_after], {INPUT, self._rows})
        self._inner = _unturned(_needed(graph, self._each_after, {self._entry, *self._each}))
        self._head = _needed(graph, [OUTPUT], {self._features})

    @property
    def rows_shape(self) -> tuple[int, str, int]:
        """``[S, batch, hidden]``."""
        _, count, width = signature(self.config).state.shape
        assert isinstance(count, int)
        assert isinstance(width, int)
        return count, BATCH, width

    def trunk(self, prefix: str, source: str, rows: str, after: str) -> list[NodeProto]:
        """Nodes that read ``source`` ``[batch, time, …]``, at least a step of it."""
        names = {INPUT: source, self._rows: rows, self._rows_after: after}
        return _copies(self._trunk, prefix, names, self.weights)

    def each(self, name: str) -> list[str]:
        """A name for each row of the state."""
        return [f"{name}_{index}" for index in range(len(self._each))]

    def apart(self, rows: str, name: str) -> NodeProto:
        """The node that makes :meth:`each` of ``name`` of ``rows``."""
        each = self.each(name)
        if len(each) == 1:
            return helper.make_node("Identity", [rows], each, name)
        return helper.make_node("Split", [rows], each, name, axis=0, num_outputs=len(each))

    def together(self, name: str, rows: str) -> NodeProto:
        """The node that makes ``rows`` of :meth:`each` of ``name``."""
        return helper.make_node("Concat", self.each(name), [rows], rows, axis=0)

    def inner_trunk(self, prefix: str, source: str, before: str, after: str) -> list[NodeProto]:
        """The same for one step ``[1, batch, …]`` of values, or of entries of the embedding
        ``[1, batch]``, and each row."""
        names = {
            self._entry: source,
            **dict(zip(self._each, self.each(before), strict=True)),
            **dict(zip(self._each_after, self.each(after), strict=True)),
        }
        nodes = _copies(self._inner, prefix, names, self.weights)
        if not any(_SIZED in node.input for node in self._inner):
            return nodes
        perm = [1, 0, 2] if self._entry == INPUT else [1, 0]
        return [helper.make_node("Transpose", [source], [prefix + _SIZED], perm=perm), *nodes]

    def head(
        self, prefix: str, name: str, output: str, names: Mapping[str, str] | None = None
    ) -> list[NodeProto]:
        """Nodes that make ``output`` ``[1, batch, …]``, which comes next, of each row alone.

        ``names`` has what is to stand in place of weights.
        """
        features, nodes = self.each(name)[self.config.num_layers - 1], []
        if self.config.h_size < self.config.hidden_size:
            h, features = features, f"{prefix}features"
            nodes = cut(prefix, h, features, {2: (0, self.config.h_size)})
        names = {self._features: features, OUTPUT: output, **(names or {})}
        return nodes + _copies(self._head, prefix, names, self.weights)

    def assemble(self, nodes: Sequence[NodeProto]) -> ModelProto:
        """The model of the loop that ``nodes`` are, with the metadata of the core model."""
        contract = loop(self.config)
        assert contract is not None
        used = set(_inputs(nodes))
        graph = helper.make_graph(
            nodes,
            self.model.graph.name,
            [_value(spec) for spec in contract.inputs],
            [_value(spec) for spec in contract.outputs],
            [weight for name, weight in self.weights.items() if name in used],
        )
        model = helper.make_model(graph, opset_imports=self.model.opset_import)
        model.ir_version = self.model.ir_version
        model.producer_name = self.model.producer_name
        model.producer_version = self.model.producer_version
        model.metadata_props.extend(self.model.metadata_props)
        return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def call(
    function: FunctionProto, prefix: str, inputs: Sequence[str], outputs: Sequence[str]
) -> list[NodeProto]:
    """The nodes of an ONNX function, put in place."""
    names = dict(zip((*function.input, *function.output), (*inputs, *outputs), strict=True))
    return _copies(function.node, prefix, names)


def _copies(
    nodes: Iterable[NodeProto],
    prefix: str,
    names: Mapping[str, str],
    kept: Container[str] = (),
) -> list[NodeProto]:
    """Copies of ``nodes``, tensors called as ``names`` says, or with ``prefix`` unless ``kept``."""

    def renamed(name: str) -> str:
        return names.get(name) or (name if not name or name in kept else prefix + name)

    copies = []
    for node in nodes:
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = map(renamed, node.input)
        copy.output[:] = map(renamed, node.output)
        copy.name = copy.output[0]
        for attribute in copy.attribute:
            if attribute.HasField("g"):  # a branch, which sees the tensors around it
                inside = _copies(attribute.g.node, prefix, names, kept)
                del attribute.g.node[:]
                attribute.g.node.extend(inside)
                for output in attribute.g.output:
                    output.name = renamed(output.name)
        copies.append(copy)
    return copies


def _value(spec: TensorSpec) -> ValueInfoProto:
    return tensor(spec.name, {"float32": FLOAT, "int64": INT64}[spec.type], *spec.shape)


def _needed(graph: GraphProto, outputs: Iterable[str], given: set[str]) -> list[NodeProto]:
    """The nodes that ``outputs`` need, in order, where ``given`` is there."""
    wanted, chosen = set(outputs), []
    for node in reversed(graph.node):
        if (wanted - given) & set(node.output):
            wanted |= set(node.input)
            chosen.append(node)
    return chosen[::-1]


def _unturned(nodes: Sequence[NodeProto]) -> list[NodeProto]:
    """The nodes of a trunk for steps that come first, so without the node that turns axes.

    Some ask for the batch and time of the input; they ask ``_SIZED`` instead.
    """
    turn = next(node for node in nodes if node.op_type == "Transpose")
    others = [node for node in nodes if node is not turn]
    copies = _copies(others, "", {turn.output[0]: turn.input[0]})
    for node in copies:
        if node.op_type == "Shape" and node.input[0] == INPUT:
            node.input[0] = _SIZED
    return copies


def _inputs(nodes: Iterable[NodeProto]) -> Iterator[str]:
    """What nodes read, also in their bodies."""
    for node in nodes:
        yield from node.input
        for attribute in node.attribute:
            yield from _inputs(attribute.g.node)


def constant(name: str, value: NDArray[Any]) -> NodeProto:
    """A node with one fixed tensor."""
    return helper.make_node("Constant", [], [name], name, value=numpy_helper.from_array(value))


def cut(
    prefix: str, source: str, target: str, ranges: Mapping[int, tuple[int, int]]
) -> list[NodeProto]:
    """Nodes that make ``target`` of the given range of every axis of ``source``."""
    values = [*zip(*ranges.values(), strict=True), ranges]
    names = [f"{prefix}{target}/{name}" for name in ("from", "to", "axes")]
    constants = [
        constant(name, np.array(list(value))) for name, value in zip(names, values, strict=True)
    ]
    return [*constants, helper.make_node("Slice", [source, *names], [target], f"{prefix}{target}")]


def tensor(name: str, type_: int, *shape: int | str | None) -> ValueInfoProto:
    """An input or output; a ``str`` or None in its shape is a dynamic axis."""
    return helper.make_tensor_value_info(name, type_, shape)
