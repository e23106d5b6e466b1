"""The graph of a variant: weights stored small, and the nodes that make float32 of them.

These nodes stand first in a graph, and what they make has the name of the initializer whose place
they take, so the rest of the graph is as it was. Runtimes compute them once, when they load it.

``Cast`` makes float32 of float16. Whole numbers are cast to int32 and then to float32, and ``Mul``
scales each row. This is what ``DequantizeLinear`` computes, and it is not used, nor a ``Cast``
straight to float32 before ``Mul``: ONNX Runtime and OpenVINO take these as leave to round what is
multiplied with the weights, too, and are then off by 1e-2. ONNX Runtime would also dequantize in
every call. Two int4 numbers in a byte are parted by arithmetic of int32, since not every runtime
has operators for bits.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from pipeline.contract.law import Array
from pipeline.contract.small_weights import LARGEST, NIBBLE_ZERO, SmallWeight, packed
from pipeline.errors import ParityError
from pipeline.export.graph_checks import format_breaches

_BYTES = 256  # whole numbers that make it worth to store them in fewer bytes
_NARROW = (np.uint8, np.int16)


@dataclass(frozen=True)
class Place:
    """Where the rows of weights lie in an initializer.

    ``names`` and ``rows`` say for each row of the initializer of which weight it is, and which row
    of it. ``turned`` says that its columns are the rows; otherwise rows are its first ``leading``
    axes.
    """

    names: tuple[str, ...]
    rows: tuple[int, ...]
    leading: int
    turned: bool = False


@dataclass
class _Added:
    """Initializers and nodes that take the place of an initializer."""

    tensors: list[TensorProto] = field(default_factory=list)
    nodes: list[NodeProto] = field(default_factory=list)

    def tensor(self, name: str, array: Array) -> str:
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output


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
            array = matrix.T if place.turned else matrix.reshape(array.shape)
        if full.get(tensor.name, array).tobytes() != array.tobytes() or tensor.name not in full:
            raise ParityError(f"the graph of the variant gives other numbers for {tensor.name}")
    content: bytes = small.SerializeToString(deterministic=True)
    return content


def places(model: ModelProto, weights: Mapping[str, Array]) -> dict[str, Place]:
    """The initializers of ``model`` that consist of rows of ``weights``, by name.

    The weights are found by their numbers: gates may be in another order, directions stacked, and
    matrices transposed. A weight counts only if all constants with a row of it are such
    initializers; one that is folded into others in part has no place.
    """
    wanted = dict(weights)
    while True:
        index = _rows_of(wanted)
        found, elsewhere = {}, set()
        for tensor, is_initializer in _tensors(model.graph):
            array = numpy_helper.to_array(tensor)
            if array.dtype != np.float32 or array.ndim < 2:
                continue
            place = _place(array, index) if is_initializer else None
            if place is not None:
                found[tensor.name] = place
            else:
                elsewhere |= _met(array, index)
        placed = {name for place in found.values() for name in place.names}
        if not (lost := (elsewhere | (wanted.keys() - placed)) & wanted.keys()):
            return found
        wanted = {name: weight for name, weight in wanted.items() if name not in lost}


def with_small_weights(
    model: ModelProto, found: Mapping[str, Place], weights: Mapping[str, SmallWeight]
) -> ModelProto:
    """``model`` with ``weights`` in the ``found`` places of its initializers.

    Tables of whole numbers, such as those of code points, are stored in fewer bytes, too.
    """
    changed = ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    stored: dict[str, _Added] = {}
    for number, tensor in enumerate(model.graph.initializer):
        stored[tensor.name] = added = _Added()
        if tensor.name in found:
            _put(added, f"w{number}", tensor, found[tensor.name], weights)
        elif (narrow := _narrow(numpy_helper.to_array(tensor))) is not None:
            held = added.tensor(f"w{number}", narrow)
            added.node("Cast", [held], tensor.name, to=tensor.data_type)
        else:
            added.tensors.append(tensor)
    for number, inner in enumerate(_inside(graph)):
        _make_first(inner, stored, f"/{number}")
    _make_first(graph, stored, "")
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(tensor for added in stored.values() for tensor in added.tensors)
    return changed


def _make_first(graph: GraphProto, stored: Mapping[str, _Added], suffix: str) -> None:
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
    for number, inner in enumerate(_inside(graph)):
        made |= _computed(inner, held, f"/{number}")
    made |= _computed(graph, held, "")
    used = {name for node in graph.node for name in _read_by(node)}
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(tensor for name, tensor in held.items() if name in used or not made)
    graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in made.items() if name in used
    )
    return full


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


def _inside(graph: GraphProto) -> Iterator[GraphProto]:
    """The graphs inside the nodes of ``graph``, such as the bodies of loops, and inside those."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
                yield from _inside(attribute.g)


def _put(
    added: _Added,
    prefix: str,
    tensor: TensorProto,
    place: Place,
    weights: Mapping[str, SmallWeight],
) -> None:
    """The nodes that make the initializer ``tensor`` of the rows of ``weights``."""
    kinds = {weights[name].kind.type for name in place.names}
    [kind] = kinds if len(kinds) == 1 else ["float32"]
    shape, target = tuple(tensor.dims), tensor.name
    if kind not in LARGEST:
        numbers = np.stack(
            [_row_of(weights[name], row) for name, row in zip(place.names, place.rows, strict=True)]
        )
        array = numbers.T if place.turned else numbers.reshape(shape)
        if kind == "float16":
            held = added.tensor(prefix, array.astype(np.float16))
            added.node("Cast", [held], target, to=TensorProto.FLOAT)
        else:
            added.tensor(target, array)
        return
    pairs = list(zip(place.names, place.rows, strict=True))
    numbers = np.stack([weights[name].numbers[row] for name, row in pairs])
    scale = np.array([_scales(weights[name])[row] for name, row in pairs], np.float32)
    columns, leading = numbers.shape[1], shape[: place.leading]
    if place.turned:
        scale = scale[None]
        across, behind = 0, (columns,)
    else:
        scale = scale.reshape(*leading, *[1] * (len(shape) - place.leading))
        across, behind = len(leading), shape[place.leading :]
    if kind == "int4":
        held = added.tensor(prefix, _laid_out(packed(numbers), place, leading, None))
        whole = _unpacked(added, prefix, held, across, columns)
        if not place.turned and len(behind) > 1:
            sizes = added.tensor(f"{prefix}s", np.array(shape))
            whole = added.node("Reshape", [whole, sizes], f"{prefix}r")
    else:
        held = added.tensor(prefix, _laid_out(numbers, place, leading, behind))
        whole = added.node("Cast", [held], f"{prefix}i", to=TensorProto.INT32)
    floats = added.node("Cast", [whole], f"{prefix}f", to=TensorProto.FLOAT)
    added.node("Mul", [floats, added.tensor(f"{prefix}x", scale)], target)


def _laid_out(
    rows: Array, place: Place, leading: tuple[int, ...], behind: tuple[int, ...] | None
) -> Array:
    """``rows`` ``[rows, columns]`` as the initializer has them; ``behind`` are its other axes."""
    if place.turned:
        return rows.T
    return rows.reshape(*leading, *(behind or (rows.shape[1],)))


def _unpacked(added: _Added, prefix: str, held: str, axis: int, columns: int) -> str:
    """The nodes that part two int4 numbers in a byte: the lower four bits first, then the upper."""
    whole = added.node("Cast", [held], f"{prefix}i", to=TensorProto.INT32)
    sixteen = added.tensor(f"{prefix}k", np.array(16, np.int32))
    upper = added.node("Div", [whole, sixteen], f"{prefix}u")
    lifted = added.node("Mul", [upper, sixteen], f"{prefix}m")
    lower = added.node("Sub", [whole, lifted], f"{prefix}l")
    both = added.node("Concat", [lower, upper], f"{prefix}b", axis=axis)
    if columns % 2:
        cut = [
            added.tensor(f"{prefix}{letter}", np.array([value]))
            for letter, value in (("a", 0), ("e", columns), ("d", axis))
        ]
        both = added.node("Slice", [both, *cut], f"{prefix}c")
    return added.node(
        "Sub", [both, added.tensor(f"{prefix}z", np.array(NIBBLE_ZERO, np.int32))], f"{prefix}n"
    )


def _scales(weight: SmallWeight) -> NDArray[np.float32]:
    assert weight.scale is not None
    return weight.scale


def _row_of(weight: SmallWeight, row: int) -> Array:
    """One row of a weight, as it is stored if that is a float."""
    stored = weight.numbers if weight.scale is None else weight.values
    array: Array = stored.reshape(weight.kind.rows, -1)[row]
    return array


def _narrow(array: Array) -> Array | None:
    """A large table of whole numbers in fewer bytes; None if there are not fewer."""
    if array.dtype.kind not in "iu" or array.size < _BYTES:
        return None
    for kind in _NARROW:
        limits = np.iinfo(kind)
        fewer = limits.bits < 8 * array.dtype.itemsize
        if fewer and limits.min <= array.min() and array.max() <= limits.max:
            return array.astype(kind)
    return None


def _rows_of(weights: Mapping[str, Array]) -> dict[bytes, tuple[str, int]]:
    index: dict[bytes, tuple[str, int]] = {}
    for name, weight in weights.items():
        for number, row in enumerate(weight.reshape(weight.shape[0], -1)):
            index.setdefault(row.tobytes(), (name, number))
    return index


def _views(array: Array) -> Iterator[tuple[int, bool, Array]]:
    """The ways in which an initializer may hold rows: leading axes, turned or not, and the rows."""
    for leading in range(array.ndim - 1, 0, -1):
        yield leading, False, array.reshape(int(np.prod(array.shape[:leading])), -1)
    if array.ndim == 2:
        yield 1, True, np.ascontiguousarray(array.T)


def _place(array: Array, index: Mapping[bytes, tuple[str, int]]) -> Place | None:
    for leading, turned, rows in _views(array):
        found = [index.get(row.tobytes()) for row in rows]
        known = [one for one in found if one is not None]
        if known and len(known) == len(found):
            names, numbers = zip(*known, strict=True)
            return Place(names, numbers, leading, turned)
    return None


def _met(array: Array, index: Mapping[bytes, tuple[str, int]]) -> set[str]:
    """The weights of which a constant has a row that is not zero."""
    return {
        index[row.tobytes()][0]
        for _, _, rows in _views(array)
        for row in rows
        if row.any() and row.tobytes() in index
    }


def _tensors(graph: GraphProto, outermost: bool = True) -> Iterator[tuple[TensorProto, bool]]:
    """All constants of a graph and of those inside its nodes, and whether it is an initializer."""
    for tensor in graph.initializer:
        yield tensor, outermost
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t, False
            if attribute.HasField("g"):
                yield from _tensors(attribute.g, False)


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
