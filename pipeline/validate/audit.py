"""The audit of an exported file: its weights must be those of the checkpoint, bit for bit.

Rounding a weight to float16, or flipping one bit of it, can change outputs by less than the
tolerance. So besides running the file, its weights are compared.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pipeline.contract.tensors import Tensors
from pipeline.errors import one_line
from pipeline.runtimes.torchscript import TorchScript
from pipeline.variants.full_graph import with_full_weights


def audit_onnx(file: bytes, expected: Tensors, opset: int | None = None) -> list[str]:
    """The faults in the constants of an ONNX file; empty if each is there bit for bit.

    The exporter names some constants anew and stores the head transposed, so constants are
    found by content: every tensor in ``expected``, those of the network, must be in the graph,
    and every float in the graph must be among them. Weights that are stored small count as what
    the first nodes of the graph make of them. Its opset must be ``opset``, if that is given.
    """
    try:
        model = with_full_weights(onnx.load_from_string(file))
        found = {name: _array(value) for name, value in _constants(model.graph)}
    except Exception as error:  # protobuf and onnx raise many types for a malformed file
        return [f"the file is no ONNX model ({one_line(error)})"]
    held = {_fingerprint(array) for array in found.values()}
    known = {_fingerprint(form) for array in expected.values() for form in _forms(array)}
    known.add(_fingerprint(np.zeros((), np.float32)))  # pads a projected h to the hidden size
    missing = [
        f"{name} is not in the graph bit for bit"
        for name, array in expected.items()
        if held.isdisjoint(_fingerprint(form) for form in _forms(array))
    ]
    strange = [
        f"constant '{name}' is not in the network"
        for name, array in found.items()
        if array.dtype.kind == "f" and _fingerprint(array) not in known
    ]
    own = next((item.version for item in model.opset_import if not item.domain), None)
    other = [f"the opset is {own}, not {opset}"] if opset not in (None, own) else []
    return missing + strange + other


def audit_torchscript(file: bytes, expected: Tensors) -> list[str]:
    """The faults in the weights of a TorchScript file; empty if all of ``expected`` are there."""
    try:
        module = TorchScript(file).module
        tensors = (*module.named_parameters(), *module.named_buffers())
        found = {name: tensor.detach().numpy() for name, tensor in tensors}
    except Exception as error:  # torch raises many types for a malformed file
        return [f"the file is no TorchScript ({one_line(error)})"]
    return [
        f"{name} is not in the file bit for bit"
        for name, tensor in expected.items()
        if name not in found or _fingerprint(tensor) != _fingerprint(found[name])
    ]


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, Any]]:
    """Names and values of initializers and of nodes that are constants."""
    for item in graph.initializer:
        yield item.name, item
    for node in graph.node:
        if node.op_type == "Constant":
            (attribute,) = node.attribute
            yield node.output[0], onnx.helper.get_attribute_value(attribute)


def _array(value: Any) -> NDArray[np.generic]:
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _forms(array: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    return [array, array.T] if array.ndim == 2 else [array]


def _fingerprint(array: NDArray[np.generic]) -> tuple[str, tuple[int, ...], bytes]:
    return array.dtype.str, array.shape, array.tobytes()
