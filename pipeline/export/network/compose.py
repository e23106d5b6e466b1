"""The graph of a network taken apart, and its parts built into larger graphs.

The network is exported once, as the *core graph* (input, state) → (output, next_state). It falls
into two parts. The *trunk* reads the input and turns the state into the next state. The *head*
turns the last layer's h, which is a row of the state, into the output. So a state alone says which
output comes next, and each step of a loop is: head, choice of a value, trunk.
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

from pipeline.errors import ParityError
from pipeline.model import Network
from pipeline.network_tensors import BATCH, INPUT, NEXT_STATE, OUTPUT, STATE, loop, network_tensors

INT64, FLOAT, BOOL = TensorProto.INT64, TensorProto.FLOAT, TensorProto.BOOL
_TYPES: dict[str, int] = {"int64": INT64, "float32": FLOAT}

_SIZED = "batch_time"  # a tensor [batch, time, …] in a loop, which is only asked for its sizes


class Core:
    """The core graph of a network that carries a state, in parts that can be used again.

    Outside of a loop, the state is one tensor of *rows* ``[S, batch, hidden]``. Inside of a loop,
    each row is a tensor of its own, and every tensor has its one step first, ``[1, batch, …]``, as
    recurrent nodes want it: to join rows and swap axes would cost as much as the rest of a step.

    The parts are found by the inputs and outputs of the graph, by the types of nodes and by how
    they are connected; names inside the graph and the order of its nodes do not matter.

    Raises:
        ParityError: the graph has another form than the exporter gives it.
    """

    def __init__(self, model: ModelProto, network: Network) -> None:
        self.model, self.config = model, network.config
        graph = model.graph
        self.weights = {item.name: item for item in graph.initializer}

        # The state comes in as [batch, S, hidden]; one node makes rows of it, and one node makes
        # the next state of the rows after the step.
        to_rows = _only(graph.node, "Transpose", "reads the state", reads=STATE)
        from_rows = _only(graph.node, "Transpose", "makes the next state", makes=NEXT_STATE)
        self._rows, self._rows_after = to_rows.output[0], from_rows.input[0]
        # Several rows are split for the layers and joined again; a single row goes as it is.
        self._each, self._each_after = [self._rows], [self._rows_after]
        if self.rows_shape[0] > 1:
            split = _only(graph.node, "Split", "splits the rows", reads=self._rows)
            joined = _only(graph.node, "Concat", "joins the rows", makes=self._rows_after)
            self._each, self._each_after = [*split.output], [*joined.input]

        # The trunk is what the rows after the step need. Its only Transpose puts the steps first.
        self._trunk = _needed(graph, [self._rows_after], {INPUT, self._rows})
        turn = _only(self._trunk, "Transpose", "puts the steps of the input first")
        # A loop of values feeds them back as inputs. A loop of text has drawn an entry of the
        # vocabulary, so it skips the code points and goes on where the embedding looks entries up.
        self._entry = INPUT
        if network.vocabulary is not None:
            embedding = _only(graph.node, "Gather", "looks up the embedding", makes=turn.input[0])
            self._entry = embedding.input[1]
        inner = _needed(graph, self._each_after, {self._entry, *self._each})
        self._inner = _without_turn(inner, turn)

        # What the output needs beyond the trunk begins with h of every step. The only Transpose in
        # it puts the batch first again; all that follows is the head.
        made = {name for node in self._trunk for name in node.output}
        beyond = _needed(graph, [OUTPUT], {INPUT, self._rows, *made})
        self._features = _only(beyond, "Transpose", "puts the batch of h first").output[0]
        self._head = _needed(graph, [OUTPUT], {self._features})

    @property
    def rows_shape(self) -> tuple[int, str, int]:
        """``[S, batch, hidden]``."""
        _, count, width = network_tensors(self.config).state.shape
        assert isinstance(count, int)
        assert isinstance(width, int)
        return count, BATCH, width

    @property
    def bias(self) -> str:
        """The name of the weight that is added last to make the output of a text network."""
        added = _only(self._head, "Add", "adds the bias", makes=OUTPUT).input
        names: list[str] = [name for name in added if name in self.weights]
        if len(names) != 1:
            raise _other_form(f"the output is a sum of {len(names)} weights in place of 1")
        return names[0]

    def trunk(self, prefix: str, source: str, rows: str, after: str) -> list[NodeProto]:
        """Nodes that read ``source`` ``[batch, time, …]``, which has at least one step.

        They turn ``rows`` into ``after``. Tensors between them are called with ``prefix``.
        """
        names = {INPUT: source, self._rows: rows, self._rows_after: after}
        return _copies(self._trunk, prefix, names, self.weights)

    def row_names(self, name: str) -> list[str]:
        """A name for each row of the state: ``name``, with its number."""
        return [f"{name}_{index}" for index in range(len(self._each))]

    def split_rows(self, rows: str, name: str) -> NodeProto:
        """The node that splits ``rows`` into the tensors called :meth:`row_names` of ``name``."""
        each = self.row_names(name)
        if len(each) == 1:
            return helper.make_node("Identity", [rows], each, name)
        return helper.make_node("Split", [rows], each, name, axis=0, num_outputs=len(each))

    def join_rows(self, name: str, rows: str) -> NodeProto:
        """The node that joins the tensors called :meth:`row_names` of ``name`` into ``rows``."""
        return helper.make_node("Concat", self.row_names(name), [rows], rows, axis=0)

    def trunk_of_step(self, prefix: str, source: str, before: str, after: str) -> list[NodeProto]:
        """Nodes that read one step: the trunk inside of a loop.

        ``source`` is the value read, ``[1, batch, …]``; of a text, it is the entry of the
        vocabulary, ``[1, batch]``. The row tensors of ``before`` become those of ``after``.
        """
        names = {
            self._entry: source,
            **dict(zip(self._each, self.row_names(before), strict=True)),
            **dict(zip(self._each_after, self.row_names(after), strict=True)),
        }
        nodes = _copies(self._inner, prefix, names, self.weights)
        if not any(_SIZED in node.input for node in self._inner):
            return nodes
        perm = [1, 0, 2] if self._entry == INPUT else [1, 0]
        return [helper.make_node("Transpose", [source], [prefix + _SIZED], perm=perm), *nodes]

    def head(
        self, prefix: str, name: str, output: str, names: Mapping[str, str] | None = None
    ) -> list[NodeProto]:
        """Nodes that make the next ``output`` ``[1, batch, …]`` of the row tensors of ``name``.

        ``names`` are tensors to use in place of weights.
        """
        # The rows of h come first in a state, in the order of the layers.
        features, nodes = self.row_names(name)[self.config.num_layers - 1], []
        if self.config.h_size < self.config.hidden_size:
            h, features = features, f"{prefix}features"
            nodes = cut(prefix, h, features, {2: (0, self.config.h_size)})
        names = {self._features: features, OUTPUT: output, **(names or {})}
        return nodes + _copies(self._head, prefix, names, self.weights)

    def assemble(self, nodes: Sequence[NodeProto]) -> ModelProto:
        """``nodes`` as the model of the loop.

        It gets the inputs and outputs of the contract, the weights that are used, and the metadata
        of the core model.
        """
        contract = loop(self.config)
        assert contract is not None
        used = set(_inputs(nodes))
        graph = helper.make_graph(
            nodes,
            self.model.graph.name,
            [tensor(spec.name, _TYPES[spec.type], *spec.shape) for spec in contract.inputs],
            [tensor(spec.name, _TYPES[spec.type], *spec.shape) for spec in contract.outputs],
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
    """The nodes of ``function``, copied to where it is called.

    Its parameters are called ``inputs`` and its results ``outputs``, in their order; what is
    between them gets ``prefix`` before its name.
    """
    names = dict(zip((*function.input, *function.output), (*inputs, *outputs), strict=True))
    return _copies(function.node, prefix, names)


def _copies(
    nodes: Iterable[NodeProto],
    prefix: str,
    names: Mapping[str, str],
    kept: Container[str] = (),
) -> list[NodeProto]:
    """Copies of ``nodes`` with other names for tensors.

    A tensor in ``names`` is called what stands there, one in ``kept`` keeps its name, and any other
    gets ``prefix`` before it.
    """

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
            if attribute.HasField("g"):  # a branch uses the names of tensors around it, too
                inside = _copies(attribute.g.node, prefix, names, kept)
                del attribute.g.node[:]
                attribute.g.node.extend(inside)
                for output in attribute.g.output:
                    output.name = renamed(output.name)
        copies.append(copy)
    return copies


def _needed(graph: GraphProto, outputs: Iterable[str], given: set[str]) -> list[NodeProto]:
    """The nodes that make ``outputs`` of the tensors ``given``, in the order of the graph."""
    wanted, chosen = set(outputs), []
    for node in reversed(graph.node):
        if (wanted - given) & set(node.output):
            wanted |= set(node.input)
            chosen.append(node)
    return chosen[::-1]


def _only(
    nodes: Iterable[NodeProto], operator: str, does: str, *, reads: str = "", makes: str = ""
) -> NodeProto:
    """The only node of type ``operator`` among ``nodes`` that reads or makes a tensor.

    Raises:
        ParityError: there is none, or more than one; the message says what it ``does``.
    """
    found = [
        node
        for node in nodes
        if node.op_type == operator
        and (not reads or reads in node.input)
        and (not makes or makes in node.output)
    ]
    if len(found) != 1:
        raise _other_form(f"{len(found)} nodes of type {operator} in place of 1 that {does}")
    return found[0]


def _other_form(what: str) -> ParityError:
    return ParityError(
        f"the loop cannot be made of the core graph, which has another form than expected: {what}; "
        "export it with the version of torch that constraints.txt names"
    )


def _without_turn(nodes: Sequence[NodeProto], turn: NodeProto) -> list[NodeProto]:
    """Copies of the nodes of a trunk, without ``turn``: in a loop the step comes first already.

    Nodes that ask for the sizes of the input ask for those of ``_SIZED`` instead.
    """
    others = [node for node in nodes if node is not turn]
    copies = _copies(others, "", {turn.output[0]: turn.input[0]})
    for node in copies:
        if node.op_type == "Shape" and node.input[0] == INPUT:
            node.input[0] = _SIZED
    return copies


def _inputs(nodes: Iterable[NodeProto]) -> Iterator[str]:
    """The names of all tensors that ``nodes`` and their bodies read."""
    for node in nodes:
        yield from node.input
        for attribute in node.attribute:
            yield from _inputs(attribute.g.node)


def constant(name: str, value: NDArray[Any]) -> NodeProto:
    """A node that gives one fixed tensor."""
    return helper.make_node("Constant", [], [name], name, value=numpy_helper.from_array(value))


def cut(
    prefix: str, source: str, target: str, ranges: Mapping[int, tuple[int, int]]
) -> list[NodeProto]:
    """Nodes that cut ``target`` out of ``source``: for each axis, from where to where."""
    values = [*zip(*ranges.values(), strict=True), ranges]
    names = [f"{prefix}{target}/{name}" for name in ("from", "to", "axes")]
    constants = [
        constant(name, np.array(list(value))) for name, value in zip(names, values, strict=True)
    ]
    return [*constants, helper.make_node("Slice", [source, *names], [target], f"{prefix}{target}")]


def tensor(name: str, type_: int, *shape: int | str | None) -> ValueInfoProto:
    """The declaration of a tensor; a ``str`` or None in its shape is a dynamic axis."""
    return helper.make_tensor_value_info(name, type_, shape)
