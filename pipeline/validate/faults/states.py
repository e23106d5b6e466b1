"""Faults of the states between calls, and of the axes of a graph."""

from functools import partial

from onnx import NodeProto, helper

from pipeline.validate.faults.fault import Fault, FaultyGraph


def _no_start_state(g: FaultyGraph) -> None:
    for node in g.recurrent:
        del node.input[5:]


def _same_state(g: FaultyGraph) -> None:
    g.require(bool(g.contract.states))
    for before, after in g.contract.states:
        g.after_all(after, partial(_unchanged, before, after))


def _unchanged(before: str, after: str, honest: str) -> list[NodeProto]:
    return [helper.make_node("Identity", [before], [after])]


def _late_state(g: FaultyGraph) -> None:
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


def _swap_h_and_c(g: FaultyGraph) -> None:
    g.require(g.cell.has_c)
    for node in g.recurrent:
        node.input[5], node.input[6] = node.input[6], node.input[5]


def _next_h_and_c(g: FaultyGraph) -> None:
    g.require(g.cell.has_c and bool(g.packed_state))
    concat = next(node for node in g.graph.node if node.op_type == "Concat")
    half = len(concat.input) // 2
    concat.input[:] = [*concat.input[half:], *concat.input[:half]]


def _layers_reversed(g: FaultyGraph) -> None:
    g.require(len(g.recurrent) > 1)
    starts = [list(node.input[5:]) for node in g.recurrent]
    for node, start in zip(g.recurrent, reversed(starts), strict=True):
        node.input[5:] = start


def _frozen_batch(g: FaultyGraph) -> None:
    g.freeze(g.contract.batch, 2)


def _frozen_time(g: FaultyGraph) -> None:
    """The result of unrolling: the graph reads the three steps it was traced with and no more."""
    x = g.recurrent[0].input[0]
    start, stop = g.constant_input("unrolled_start", [0]), g.constant_input("unrolled_stop", [3])
    axis = g.constant_input("unrolled_axis", [0])
    g.before(g.recurrent[0], helper.make_node("Slice", [x, start, stop, axis], ["unrolled"]))
    g.recurrent[0].input[0] = "unrolled"


def _batch_as_time(g: FaultyGraph) -> None:
    """A reshape in place of a transposition: the shapes are right, the order is wrong."""
    node = g.node_of(g.recurrent[0].input[0])
    g.require(node.op_type == "Transpose")
    target = node.output[0]
    node.output[0] = "transposed"
    shape = helper.make_node("Shape", ["transposed"], ["transposed_shape"])
    reshape = helper.make_node("Reshape", [node.input[0], "transposed_shape"], [target])
    g.before(g.recurrent[0], shape)
    g.before(g.recurrent[0], reshape)


def _last_output(g: FaultyGraph) -> None:
    output = g.contract.data_outputs[0].name
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


FAULTS = (
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
)
