"""Where the weights of a model lie in its graph: they are found by their numbers, row by row.

Exporters transpose matrices, stack directions and layers, and order gates anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, numpy_helper

from pipeline.contract.law import Array


@dataclass(frozen=True)
class Place:
    """Where the rows of weights lie in an initializer.

    ``names`` and ``rows`` say for each row of the initializer of which weight it is, and which row
    of it. Rows are its first ``leading`` axes; or, where it is ``turned``, all axes but the last
    but one, along which their columns lie.
    """

    names: tuple[str, ...]
    rows: tuple[int, ...]
    leading: int
    turned: bool = False

    def laid_out(self, rows: Array, shape: Sequence[int]) -> Array:
        """``rows`` ``[rows, columns]`` by the axes of the initializer, which has this ``shape``.

        Columns stay one axis, however many they are; they are the axis ``across``.
        """
        columns = rows.shape[1]
        if self.turned:
            return rows.reshape(*shape[:-2], shape[-1], columns).swapaxes(-1, -2)
        return rows.reshape(*shape[: self.leading], columns)

    @property
    def across(self) -> int:
        """The axis along which the columns of a row lie."""
        return self.leading - 1 if self.turned else self.leading


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
    if array.ndim > 1:
        turned = np.ascontiguousarray(array.swapaxes(-1, -2))
        yield array.ndim - 1, True, turned.reshape(-1, turned.shape[-1])


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
