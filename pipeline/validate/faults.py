"""Known faults of exporters and ports, planted into an exported ONNX graph one at a time.

Each fault edits a copy of a correct graph of this package: it makes the one change that a faulty
exporter, port or manual edit would make. A fault that a graph cannot have (swapped gates in a cell
without gates, a wrong scaler in a text model) does not apply to it. Names and axes come from the
contract of the graph, which may be that of a user's module.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from pipeline.cells import BY_OPERATOR
from pipeline.cells.entry import Entry
from pipeline.contract.tensors import Contract
from pipeline.network_tensors import INPUT, NEXT_STATE, STATE


class NotApplicableError(Exception):
    """The graph has no part that the fault could change."""


class Graph:
    """A copy of a model, with the edits that the faults consist of."""

    def __init__(self, file: bytes, contract: Contract) -> None:
        self.contract = contract
        self.model: ModelProto = onnx.load_from_string(file)
        self.graph = self.model.graph
        self.recurrent = [n for n in self.graph.node if n.op_type in BY_OPERATOR]
        self.cell = BY_OPERATOR[self.recurrent[0].op_type]

    def require(self, applies: bool) -> None:
        """Raise NotApplicableError unless the fault ``applies``."""
        if not applies:
            raise NotApplicableError

    def constant(self, name: str) -> NDArray[np.generic]:
        """A copy of the initializer ``name``."""
        return numpy_helper.to_array(self._initializer(name)).copy()

    def set_constant(self, name: str, array: NDArray[np.generic]) -> None:
        """Replace the initializer ``name`` by ``array``."""
        item = self._initializer(name)
        item.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))

    def _initializer(self, name: str) -> Any:
        """The initializer of that name; the fault does not apply if there is none."""
        found = [item for item in self.graph.initializer if item.name == name]
        self.require(bool(found))
        return found[0]

    @property
    def packed_state(self) -> tuple[str, str]:
        """The one pair of states that holds those of all layers, as built-in networks have it."""
        self.require(self.contract.states == ((STATE, NEXT_STATE),))
        return STATE, NEXT_STATE

    def freeze(self, symbol: str | None, size: int) -> None:
        """Set the axis ``symbol`` of every input and output to one size."""
        self.require(symbol is not None)
        for value in (*self.graph.input, *self.graph.output):
            axis = self.contract.axis(symbol, value.name)
            if axis is not None:
                value.type.tensor_type.shape.dim[axis].dim_value = size

    def node_of(self, output: str) -> NodeProto:
        """The node that computes ``output``."""
        found: NodeProto = next(node for node in self.graph.node if output in node.output)
        return found

    def before(self, node: NodeProto, new: NodeProto) -> None:
        """Insert the node ``new`` before ``node``."""
        self.graph.node.insert(list(self.graph.node).index(node), new)

    def constant_input(self, name: str, values: Sequence[int]) -> str:
        """Add the int64 initializer ``name``, and return its name."""
        array = np.array(values, np.int64)
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def after_all(self, output: str, nodes: Callable[[str], list[NodeProto]]) -> None:
        """Compute graph output ``output`` by ``nodes``, whose argument is the correct value."""
        honest = f"honest_{output}"
        node = self.node_of(output)
        node.output[list(node.output).index(output)] = honest
        self.graph.node.extend(nodes(honest))

    def bytes(self) -> bytes:
        """The changed file, without the shapes of inner tensors, which may be wrong now."""
        del self.graph.value_info[:]
        content: bytes = self.model.SerializeToString()
        return content


Plant = Callable[[Graph], None]


@dataclass(frozen=True)
class Fault:
    """A fault: its name, and the function that plants it in a graph."""

    name: str
    plant: Plant


def plant(fault: Fault, file: bytes, contract: Contract) -> bytes | None:
    """``file`` with ``fault`` in it, or None where the fault does not apply."""
    graph = Graph(file, contract)
    try:
        fault.plant(graph)
    except NotApplicableError:
        return None
    return graph.bytes()


def _attribute(node: NodeProto, name: str, value: object) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def _reorder_gates(g: Graph, order: Sequence[int]) -> None:
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
    """An attribute left out without which ONNX means something else than PyTorch."""

    def plant_default(g: Graph) -> None:
        g.require(g.cell is cell)
        for node in g.recurrent:
            _attribute(node, attribute, 0)

    return plant_default


def _pytorch_gates(g: Graph) -> None:
    g.require(g.cell.is_gated)
    _reorder_gates(g, [int(place) for place in np.argsort(g.cell.onnx_order)])


def _two_gates(g: Graph) -> None:
    g.require(g.cell.is_gated)
    _reorder_gates(g, [1, 0, *range(2, len(g.cell.gates))])


def _input_and_recurrent_weights(g: Graph) -> None:
    nodes = [n for n in g.recurrent if g.constant(n.input[1]).shape == g.constant(n.input[2]).shape]
    g.require(bool(nodes))
    for node in nodes:
        node.input[1], node.input[2] = node.input[2], node.input[1]


def _bias_halves(g: Graph) -> None:
    g.require(bool(g.cell.apart))  # else the two halves are added before anything else
    for node in g.recurrent:
        w, r = np.split(g.constant(node.input[3]), 2, axis=1)
        g.set_constant(node.input[3], np.concatenate([r, w], axis=1))


def _no_bias(g: Graph) -> None:
    for node in g.recurrent:
        node.input[3] = ""


def _no_start_state(g: Graph) -> None:
    for node in g.recurrent:
        del node.input[5:]


def _same_state(g: Graph) -> None:
    g.require(bool(g.contract.states))
    for before, after in g.contract.states:
        g.after_all(after, partial(_unchanged, before, after))


def _unchanged(before: str, after: str, honest: str) -> list[NodeProto]:
    return [helper.make_node("Identity", [before], [after])]


def _late_state(g: Graph) -> None:
    g.require(bool(g.packed_state))
    axis = g.constant_input("late_axis", [0])
    start, stop = g.constant_input("late_start", [-2]), g.constant_input("late_stop", [-1])
    for place, node in enumerate(g.recurrent):
        y, y_h, first = node.output[0], node.output[1], node.input[5]
        names = [f"late_{place}_{step}" for step in range(3)]
        user = next(user for user in g.graph.node if y_h in user.input)
        for new in (
            helper.make_node("Unsqueeze", [first, axis], [names[0]]),
            helper.make_node("Concat", [names[0], y], [names[1]], axis=0),
            helper.make_node("Slice", [names[1], start, stop, axis], [names[2]]),
            helper.make_node("Squeeze", [names[2], axis], [f"late_{y_h}"]),
        ):
            g.before(user, new)
        user.input[:] = [f"late_{y_h}" if name == y_h else name for name in user.input]


def _swap_h_and_c(g: Graph) -> None:
    g.require(g.cell.has_c)
    for node in g.recurrent:
        node.input[5], node.input[6] = node.input[6], node.input[5]


def _next_h_and_c(g: Graph) -> None:
    g.require(g.cell.has_c and bool(g.packed_state))
    concat = next(node for node in g.graph.node if node.op_type == "Concat")
    half = len(concat.input) // 2
    concat.input[:] = [*concat.input[half:], *concat.input[:half]]


def _layers_reversed(g: Graph) -> None:
    g.require(len(g.recurrent) > 1)
    starts = [list(node.input[5:]) for node in g.recurrent]
    for node, start in zip(g.recurrent, reversed(starts), strict=True):
        node.input[5:] = start


def _frozen_batch(g: Graph) -> None:
    g.freeze(g.contract.batch, 2)


def _frozen_time(g: Graph) -> None:
    """The result of unrolling: the graph reads the three steps it was traced with and no more."""
    x = g.recurrent[0].input[0]
    start, stop = g.constant_input("unrolled_start", [0]), g.constant_input("unrolled_stop", [3])
    axis = g.constant_input("unrolled_axis", [0])
    g.before(g.recurrent[0], helper.make_node("Slice", [x, start, stop, axis], ["unrolled"]))
    g.recurrent[0].input[0] = "unrolled"


def _batch_as_time(g: Graph) -> None:
    """A reshape in place of a transposition: the shapes are right, the order is wrong."""
    node = g.node_of(g.recurrent[0].input[0])
    g.require(node.op_type == "Transpose")
    target = node.output[0]
    node.output[0] = "transposed"
    shape = helper.make_node("Shape", ["transposed"], ["transposed_shape"])
    reshape = helper.make_node("Reshape", [node.input[0], "transposed_shape"], [target])
    g.before(g.recurrent[0], shape)
    g.before(g.recurrent[0], reshape)


def _last_output(g: Graph) -> None:
    output = next(one for one in g.contract.outputs if one.name not in g.contract.next_states).name
    along = g.contract.axis(g.contract.time, output)
    g.require(along is not None)
    assert along is not None
    start, stop = g.constant_input("last_start", [-1]), g.constant_input("last_stop", [2**31])
    axis = g.constant_input("last_axis", [along])
    g.after_all(
        output,
        lambda honest: [
            helper.make_node("Shape", [honest], ["last_shape"]),
            helper.make_node("Slice", [honest, start, stop, axis], ["last_output"]),
            helper.make_node("Expand", ["last_output", "last_shape"], [output]),
        ],
    )


def _scaler_nodes(g: Graph, *operators: str) -> list[NodeProto]:
    names = (".mean", ".std")
    found = [n for n in g.graph.node if n.op_type in operators and n.input[-1].endswith(names)]
    g.require(len(found) == len(operators))
    return found


def _no_scaler_in(g: Graph) -> None:
    subtract, divide = _scaler_nodes(g, "Sub", "Div")
    user = next(node for node in g.graph.node if divide.output[0] in node.input)
    user.input[0] = subtract.input[0]


def _no_scaler_out(g: Graph) -> None:
    multiply, add = _scaler_nodes(g, "Mul", "Add")
    add.op_type = "Identity"
    add.input[:] = [multiply.input[0]]


def _wrong_deviation(g: Graph) -> None:
    _, divide = _scaler_nodes(g, "Sub", "Div")
    deviation = g.constant(divide.input[1]).astype(np.float64) * 1.01
    g.set_constant(divide.input[1], deviation.astype(np.float32))


def _table(g: Graph) -> str:
    node = next((n for n in g.graph.node if n.op_type == "Gather"), None)
    g.require(node is not None and g.contract.inputs[0].name == INPUT)
    assert node is not None
    g.require(INPUT in g.node_of(g.node_of(node.input[1]).input[0]).input)
    return str(node.input[0])


def _shifted_vocabulary(g: Graph) -> None:
    table = g.constant(name := _table(g)).astype(np.int64)
    shifted = np.where(table > 0, table % table.max() + 1, 0)
    g.set_constant(name, shifted.astype(np.int32))


def _unknown_to_real(g: Graph) -> None:
    table = g.constant(name := _table(g))
    g.set_constant(name, np.where(table == 0, table.dtype.type(1), table))


def _no_head_bias(g: Graph) -> None:
    name = next((one.name for one in g.graph.initializer if one.name.endswith("head.bias")), "")
    g.set_constant(name, np.zeros_like(g.constant(name)))


def _flipped_bit(g: Graph) -> None:
    name = g.recurrent[-1].input[2]
    weight = g.constant(name)
    weight.view(np.uint32).reshape(-1)[-1] ^= 1  # the least significant bit
    g.set_constant(name, weight)


def _rounded(kind: np.dtype[np.generic]) -> Plant:
    def plant_rounding(g: Graph) -> None:
        for item in g.graph.initializer:
            if item.data_type == onnx.TensorProto.FLOAT:
                array = g.constant(item.name)
                g.set_constant(item.name, array.astype(kind).astype(np.float32))

    return plant_rounding


def _reversed_time(g: Graph) -> None:
    for node in g.recurrent:
        _attribute(node, "direction", "reverse")


def _relu(g: Graph) -> None:
    g.require(g.cell.has_nonlinearity)
    for node in g.recurrent:
        _attribute(node, "activations", ["Relu"])


FAULTS: tuple[Fault, ...] = (
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
    Fault("initial state ignored", _no_start_state),
    Fault("next_state returned unchanged", _same_state),
    Fault("next_state one step late", _late_state),
    Fault("h and c swapped on the way in", _swap_h_and_c),
    Fault("h and c swapped on the way out", _next_h_and_c),
    Fault("layers' states in the wrong order", _layers_reversed),
    Fault("batch frozen at the export size", _frozen_batch),
    Fault("time frozen by unrolling", _frozen_time),
    Fault("batch and time transposed", _batch_as_time),
    Fault("last output repeated", _last_output),
    Fault("scaler left out on the way in", _no_scaler_in),
    Fault("scaler left out on the way out", _no_scaler_out),
    Fault("scaler with the wrong deviation", _wrong_deviation),
    Fault("vocabulary shifted by one", _shifted_vocabulary),
    Fault("unknown characters mapped to a real one", _unknown_to_real),
    Fault("head bias dropped", _no_head_bias),
    Fault("one bit of a weight flipped", _flipped_bit),
    Fault("weights rounded to float16", _rounded(np.dtype(np.float16))),
    Fault("weights rounded to bfloat16", _rounded(np.dtype(ml_dtypes.bfloat16))),
    Fault("time direction reversed", _reversed_time),
    Fault("tanh replaced by relu", _relu),
)
