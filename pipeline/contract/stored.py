"""Tensors in JSON: a shape, and numbers in row-major order."""

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline.config import Record
from pipeline.contract.law import Array
from pipeline.contract.tensors import TensorSpec

Sizes = dict[str, int]


class StoredTensor(Record):
    """A tensor: its shape, and its numbers in row-major order; booleans are 0 and 1."""

    shape: tuple[Annotated[int, Field(ge=1)], ...]
    data: tuple[int | float, ...]


def stored(array: Array) -> dict[str, Any]:
    """The JSON of a tensor; float32 has the fewest digits that give the same float32 again."""
    flat = array.ravel()
    if flat.dtype == bool:
        flat = flat.astype(np.uint8)
    short = flat.dtype.kind == "f" and flat.dtype.itemsize < 8
    data = [float(str(value)) for value in flat] if short else flat.tolist()
    return {"shape": list(array.shape), "data": data}


def unstored(tensor: StoredTensor, spec: TensorSpec, sizes: Sizes) -> Array:
    """A stored tensor as an array of the type and shape of ``spec``.

    ``sizes`` holds the sizes of dynamic axes known so far; new ones are added to it.

    Raises:
        ValueError: its shape or size is not that of ``spec``, or its type does not hold a number.
    """
    expected = [
        sizes.setdefault(axis, size) if isinstance(axis, str) else axis
        for axis, size in zip(spec.shape, tensor.shape, strict=False)
    ]
    fits = [*tensor.shape] == expected and len(tensor.shape) == len(spec.shape)
    # Integers of Python do not overflow, as those of numpy would.
    count = 1
    for size in tensor.shape:
        count *= size
    if not fits or count != len(tensor.data):
        raise ValueError(f"{spec.name} has another shape or size than the manifest says")
    kind = np.dtype(spec.type)
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            array: Array = np.array(tensor.data, np.float64).astype(kind)
        if not np.isfinite(array).all():
            raise ValueError(f"{spec.name} holds a number that {spec.type} cannot")
    else:
        least, most = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
        if not all(isinstance(value, int) and least <= value <= most for value in tensor.data):
            raise ValueError(f"{spec.name} holds a number that is no {spec.type}")
        array = np.array(tensor.data, kind)
    return array.reshape(tensor.shape)
