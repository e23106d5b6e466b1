"""The audit of the files of a user's module: the weights that they hold, bit for bit.

An exporter stores weights as they are, transposed, or with their gates in another order, and folds
some into others. So every weight is looked for by its rows: a weight is there if each of its rows,
or each of its columns, is a row or column of a constant. What is folded into other numbers is not
found, and is counted; it is compared by running the file.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import safetensors.numpy
import torch

from pipeline.contract.law import Array
from pipeline.errors import one_line

_NEAR = 1e-2  # share of the largest weight that a rounded weight may be off


@dataclass(frozen=True)
class Audit:
    """The faults of a file, and a note on what was found in it."""

    faults: tuple[str, ...]
    note: str = ""


def audit_graph(file: bytes, weights: bytes) -> Audit:
    """The audit of an ONNX file, given the weights of the module as safetensors.

    A weight that is close to a constant, and not the same, was rounded: that is a fault.
    """
    try:
        constants = [
            onnx.numpy_helper.to_array(tensor)
            for tensor in _tensors(onnx.load_from_string(file).graph)
        ]
    except Exception as error:  # protobuf and onnx raise many types for a malformed file
        return Audit((f"the file is no ONNX model ({one_line(error)})",))
    return _audited(constants, weights)


def faults_of_graph(file: bytes, weights: bytes) -> tuple[str, ...]:
    """The faults that :func:`audit_graph` finds."""
    return audit_graph(file, weights).faults


def audit_program(file: bytes, weights: bytes) -> Audit:
    """The audit of a TorchScript file, which must be one that may run."""
    try:
        module = torch.jit.load(io.BytesIO(file), map_location="cpu")
        found = [y.detach().numpy() for y in (*module.parameters(), *module.buffers())]
    except Exception as error:  # torch raises many types for a malformed file
        return Audit((f"the file is no TorchScript ({one_line(error)})",))
    return _audited(found, weights)


def _audited(constants: Iterable[Array], weights: bytes) -> Audit:
    floats = [array for array in constants if array.dtype.kind == "f"]
    rows = {row for array in floats for form in _forms(array) for row in _rows(form)}
    numbers = [_numbers(array) for array in floats]
    stored = {
        name: array
        for name, array in safetensors.numpy.load(weights).items()
        if array.dtype.kind == "f" and array.size
    }
    faults, found = [], 0
    for name, array in stored.items():
        if _is_there(array, rows, numbers):
            found += 1
        elif _is_rounded(array, floats):
            faults.append(f"{name} is not in the file bit for bit")
    return Audit(tuple(faults), f"{found} of {len(stored)} weights are there bit for bit")


def _is_there(array: Array, rows: set[bytes], numbers: Iterable[set[bytes]]) -> bool:
    """Whether each row of a weight is a row of a constant, or a vector's numbers are in one."""
    if array.ndim > 1:
        return all(row in rows for row in _rows(array))
    own = _numbers(array)
    return any(own <= others for others in numbers)


def _is_rounded(array: Array, constants: Iterable[Array]) -> bool:
    """Whether a constant has about the numbers of the weight, in any order."""
    ordered = np.sort(array, axis=None).astype(np.float64)
    scale = np.abs(ordered).max()
    return any(
        np.abs(np.sort(other, axis=None) - ordered).max() <= _NEAR * scale
        for other in constants
        if other.size == array.size and np.isfinite(other).all()
    )


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
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)
