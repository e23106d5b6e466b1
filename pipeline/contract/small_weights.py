"""Weights that are stored small: float16, or whole numbers with a scale for every row.

A weight of PyTorch is a matrix of rows, one for each output channel: its first axis, with all
others flattened behind it. Its float32 value is

    float16    what the float16 numbers are
    int8       float32(q) · scale[row], rounded once to float32; q from -127 to 127
    int4       the same with q from -7 to 7

so every reader and every runtime has the same bits. In ``model.safetensors``, the tensor has the
name of the weight and the type F16, I8 or U8; its scales, F32 ``[rows]``, follow with ``/scale``
behind the name. int8 has the shape of the weight. int4 is ``[rows, half]`` with two numbers in a
byte, each 8 more than q: the lower four bits of a row's bytes are its first ``half`` columns, and
the upper four bits are the others; for an odd number of columns the last is padded with 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.config import Record
from pipeline.contract.law import Array

SmallType = Literal["float16", "int8", "int4"]
WeightType = Literal["float32", "float16", "int8", "int4"]
Header = dict[str, tuple[str, tuple[int, ...]]]  # types, as safetensors says them, and shapes

LARGEST: dict[str, int] = {"int8": 127, "int4": 7}
"""The largest whole number of each type; the smallest is its negative."""
SCALE = "/scale"  # behind the name of a weight, the name of its scales
NIBBLE_ZERO = 8  # added to an int4 number to store it
_STORED: dict[str, str] = {"float32": "F32", "float16": "F16", "int8": "I8", "int4": "U8"}


class StoredWeight(Record):
    """How one weight of a variant is stored: its type, and its shape in PyTorch."""

    type: WeightType
    shape: tuple[Annotated[int, Field(ge=0)], ...]

    @property
    def rows(self) -> int:
        """The number of rows, each of which has its scale."""
        return self.shape[0]

    @property
    def columns(self) -> int:
        """The number of columns of a row."""
        return prod(self.shape[1:])


@dataclass(frozen=True)
class SmallWeight:
    """A weight as it is stored: whole numbers ``[rows, columns]`` with scales, or floats.

    ``numbers`` are int8 for int8 and int4, else floats of the shape of the weight. ``scale`` is
    float32 ``[rows]``, and None for floats.
    """

    kind: StoredWeight
    numbers: Array
    scale: NDArray[np.float32] | None = None

    @property
    def values(self) -> NDArray[np.float32]:
        """The float32 numbers that the weight has in every runtime, in its shape."""
        values = self.numbers.astype(np.float32)
        if self.scale is not None:
            values = values * self.scale[:, None]
        return values.reshape(self.kind.shape)

    def tensors(self, name: str) -> dict[str, Array]:
        """What ``model.safetensors`` holds of the weight ``name``."""
        if self.scale is None:
            return {name: self.numbers}
        held = packed(self.numbers) if self.kind.type == "int4" else self.numbers
        shape = held.shape if self.kind.type == "int4" else self.kind.shape
        return {name: held.reshape(shape), name + SCALE: self.scale}


def packed(numbers: NDArray[np.int8]) -> NDArray[np.uint8]:
    """int4 numbers ``[rows, columns]`` as bytes ``[rows, half]``, two in each."""
    half = (numbers.shape[1] + 1) // 2
    padded = np.pad(numbers, ((0, 0), (0, 2 * half - numbers.shape[1])))
    nibbles = (padded + NIBBLE_ZERO).astype(np.uint8)
    both: NDArray[np.uint8] = nibbles[:, :half] | nibbles[:, half:] << np.uint8(4)
    return both


def unpacked(data: NDArray[np.uint8], columns: int) -> NDArray[np.int8]:
    """The int4 numbers ``[rows, columns]`` in the bytes that :func:`packed` gives."""
    nibbles = np.concatenate([data & 15, data >> 4], axis=1)[:, :columns]
    return nibbles.astype(np.int8) - np.int8(NIBBLE_ZERO)


def header_of(stored: Mapping[str, StoredWeight]) -> Header:
    """Type and shape of every tensor that a file of these weights holds, as safetensors says it."""
    found: Header = {}
    for name, weight in stored.items():
        half = (weight.rows, (weight.columns + 1) // 2) if weight.type == "int4" else weight.shape
        found[name] = _STORED[weight.type], half
        if weight.type in LARGEST:
            found[name + SCALE] = "F32", (weight.rows,)
    return found


def small_weights(
    tensors: Mapping[str, Any], stored: Mapping[str, StoredWeight]
) -> dict[str, SmallWeight]:
    """The weights in the ``tensors`` of a file whose header is :func:`header_of` ``stored``."""
    found = {}
    for name, weight in stored.items():
        data = tensors[name]
        if weight.type not in LARGEST:
            found[name] = SmallWeight(weight, data)
            continue
        rows = (
            unpacked(data, weight.columns)
            if weight.type == "int4"
            else data.reshape(weight.rows, weight.columns)
        )
        found[name] = SmallWeight(weight, rows, tensors[name + SCALE])
    return found
