"""The audit of the files of a user's module: the weights that they hold, bit for bit.

An exporter stores weights as they are, transposed, or with their gates in another order, and folds
some into others. So every weight is looked for by its rows: a weight is there if each of its rows,
or each of its columns, is a row or column of a constant. What is folded into other numbers is not
found, and is counted; it is compared by running the file.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from pipeline.bundle.module_reference import load_torchscript
from pipeline.contract.graph import nodes_in
from pipeline.contract.law import Array
from pipeline.errors import one_line
from pipeline.variants.full_graph import with_full_weights

_NEAR = 1e-2  # share of the largest weight that a damaged weight may be off
_MOST = 0.5  # share of its numbers that are still the same


@dataclass(frozen=True)
class Audit:
    """The faults of a file, and a note on what was found in it."""

    faults: tuple[str, ...]
    note: str = ""


def audit_graph(file: bytes, weights: Mapping[str, Array]) -> Audit:
    """The audit of an ONNX file, given the weights of the module; small ones count as float32.

    A weight that is close to a constant, and was rounded or damaged, is a fault.
    """
    try:
        constants = [
            onnx.numpy_helper.to_array(tensor)
            for tensor in _tensors(with_full_weights(onnx.load_from_string(file)).graph)
        ]
    except Exception as error:  # protobuf and onnx raise many types for a malformed file
        return Audit((f"the file is no ONNX model ({one_line(error)})",))
    return _audited(constants, weights)


def faults_of_graph(file: bytes, weights: Mapping[str, Array]) -> tuple[str, ...]:
    """The faults that :func:`audit_graph` finds."""
    return audit_graph(file, weights).faults


def audit_program(file: bytes, weights: Mapping[str, Array]) -> Audit:
    """The audit of a TorchScript file, which must be one that may run."""
    try:
        module = load_torchscript(file)
        found = [y.detach().numpy() for y in (*module.parameters(), *module.buffers())]
    except Exception as error:  # torch raises many types for a malformed file
        return Audit((f"the file is no TorchScript ({one_line(error)})",))
    return _audited(found, weights)


def _audited(constants: Iterable[Array], weights: Mapping[str, Array]) -> Audit:
    floats = [array for array in constants if array.dtype.kind == "f"]
    rows = {row for array in floats for form in _forms(array) for row in _rows(form)}
    numbers = [_numbers(array) for array in floats]
    stored = {
        name: array for name, array in weights.items() if array.dtype.kind == "f" and array.size
    }
    faults, found = [], 0
    for name, array in stored.items():
        if _is_there(array, rows, numbers):
            found += 1
        elif _is_damaged(array, floats):
            faults.append(f"{name} is not in the file bit for bit")
    return Audit(tuple(faults), f"{found} of {len(stored)} weights are there bit for bit")


def _is_there(array: Array, rows: set[bytes], numbers: Iterable[set[bytes]]) -> bool:
    """Whether each row of a weight is a row of a constant, or a vector's numbers are in one."""
    if array.ndim > 1:
        return all(row in rows for row in _rows(array))
    own = _numbers(array)
    return any(own <= others for others in numbers)


def _is_damaged(array: Array, constants: Iterable[Array]) -> bool:
    """Whether a constant has the numbers of the weight, in any order, some of them changed a bit.

    It was rounded if no constant needs its last bits, or damaged if most are still the same. What a
    normalization is folded into, which may scale by almost 1, has other numbers with all bits.
    """
    ordered = np.sort(array, axis=None)
    scale = np.abs(ordered.astype(np.float64)).max()
    for other in constants:
        if other.size != array.size or not np.isfinite(other).all():
            continue
        found = np.sort(other, axis=None)
        if np.abs(found.astype(np.float64) - ordered).max() > _NEAR * scale:
            continue
        same = np.isin(ordered, found)[ordered != 0]
        if _is_rounded(other, array.dtype) or (same.size and same.mean() >= _MOST):
            return True
    return False


def _is_rounded(array: Array, dtype: np.dtype[Any]) -> bool:
    """Whether no number in ``array`` needs the last bits of ``dtype``."""
    if array.dtype.itemsize < dtype.itemsize:
        return True
    bits = np.finfo(dtype).nmant // 3  # bfloat16, TF32 and float16 leave more than these at 0
    words = np.ascontiguousarray(array.astype(dtype)).view(f"u{dtype.itemsize}")
    return not (words & ((1 << bits) - 1)).any()


def _forms(array: Array) -> list[Array]:
    return [array, array.T] if array.ndim == 2 else [array]


def _rows(array: Array) -> Iterator[bytes]:
    for row in np.ascontiguousarray(array).reshape(-1, array.shape[-1] if array.ndim else 1):
        yield row.tobytes()


def _numbers(array: Array) -> set[bytes]:
    return {number.tobytes() for number in array.ravel()}


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All constants of a graph, and of the graphs inside its nodes."""
    yield from graph.initializer
    for node in nodes_in(graph):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.g.initializer
