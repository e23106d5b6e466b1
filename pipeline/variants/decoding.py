"""The nodes of a graph that make float32 weights of those that are stored small.

``Cast`` makes float32 of float16. Whole numbers are cast to int32 and then to float32, and ``Mul``
scales each row. This is what ``DequantizeLinear`` computes, and it is not used, nor a ``Cast``
straight to float32 before ``Mul``: some runtimes take these as leave to round what is multiplied
with the weights, too, and are then off by 1e-2. ONNX Runtime would also dequantize in every call.
Two int4 numbers in a byte are parted by arithmetic of int32, since not every runtime has operators
for bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from pipeline.contract.law import Array
from pipeline.contract.small_weights import LARGEST, NIBBLE_ZERO, SmallWeight, packed
from pipeline.variants.places import Place

_BYTES = 256  # whole numbers that make it worth to store them in fewer bytes
_NARROW = (np.uint8, np.int16)


@dataclass
class Decoded:
    """Initializers and nodes that take the place of an initializer."""

    tensors: list[TensorProto] = field(default_factory=list)
    nodes: list[NodeProto] = field(default_factory=list)

    def tensor(self, name: str, array: Array) -> str:
        """Add an initializer; its name."""
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node; the name of what it makes."""
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output


def decoded(
    prefix: str, tensor: TensorProto, place: Place | None, weights: Mapping[str, SmallWeight]
) -> Decoded:
    """What takes the place of the initializer ``tensor``, with names that begin with ``prefix``.

    With a ``place``, it consists of rows of ``weights``. Another is stored in fewer bytes if it is
    a table of whole numbers, such as that of code points; else it stays as it is.
    """
    made = Decoded()
    if place is not None:
        _decode(made, prefix, tensor, place, weights)
    elif (narrow := _narrow(numpy_helper.to_array(tensor))) is not None:
        held = made.tensor(prefix, narrow)
        made.node("Cast", [held], tensor.name, to=tensor.data_type)
    else:
        made.tensors.append(tensor)
    return made


def _decode(
    made: Decoded,
    prefix: str,
    tensor: TensorProto,
    place: Place,
    weights: Mapping[str, SmallWeight],
) -> None:
    """The nodes that make the initializer ``tensor`` of the rows of ``weights``."""
    pairs = [(weights[name], row) for name, row in zip(place.names, place.rows, strict=True)]
    kinds = {weight.kind.type for weight, _ in pairs}
    [kind] = kinds if len(kinds) == 1 else ["float32"]
    shape, target = tuple(tensor.dims), tensor.name
    if kind not in LARGEST:
        floats = np.stack([_row_of(weight, row) for weight, row in pairs])
        array = place.laid_out(floats, shape).reshape(shape)
        if kind == "float16":
            held = made.tensor(prefix, array.astype(np.float16))
            made.node("Cast", [held], target, to=TensorProto.FLOAT)
        else:
            made.tensor(target, array)
        return
    numbers = np.stack([weight.numbers[row] for weight, row in pairs])
    scale = np.array([[_scales(weight)[row]] for weight, row in pairs], np.float32)
    scale = place.laid_out(scale, shape)
    scale = scale.reshape(*scale.shape, *[1] * (len(shape) - scale.ndim))
    if kind == "int4":
        bytes_ = place.laid_out(packed(numbers), shape)
        held = made.tensor(prefix, bytes_)
        whole = _unpacked(made, prefix, held, place.across, numbers.shape[1])
        if bytes_.ndim < len(shape):
            sizes = made.tensor(f"{prefix}s", np.array(shape))
            whole = made.node("Reshape", [whole, sizes], f"{prefix}r")
    else:
        held = made.tensor(prefix, place.laid_out(numbers, shape).reshape(shape))
        whole = made.node("Cast", [held], f"{prefix}i", to=TensorProto.INT32)
    scaled = made.node("Cast", [whole], f"{prefix}f", to=TensorProto.FLOAT)
    made.node("Mul", [scaled, made.tensor(f"{prefix}x", scale)], target)


def _unpacked(made: Decoded, prefix: str, held: str, axis: int, columns: int) -> str:
    """The nodes that part two int4 numbers in a byte: the lower four bits first, then the upper."""
    whole = made.node("Cast", [held], f"{prefix}i", to=TensorProto.INT32)
    sixteen = made.tensor(f"{prefix}k", np.array(16, np.int32))
    upper = made.node("Div", [whole, sixteen], f"{prefix}u")
    lifted = made.node("Mul", [upper, sixteen], f"{prefix}m")
    lower = made.node("Sub", [whole, lifted], f"{prefix}l")
    both = made.node("Concat", [lower, upper], f"{prefix}b", axis=axis)
    if columns % 2:
        cut = [
            made.tensor(f"{prefix}{letter}", np.array([value]))
            for letter, value in (("a", 0), ("e", columns), ("d", axis))
        ]
        both = made.node("Slice", [both, *cut], f"{prefix}c")
    return made.node(
        "Sub", [both, made.tensor(f"{prefix}z", np.array(NIBBLE_ZERO, np.int32))], f"{prefix}n"
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
