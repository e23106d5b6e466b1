"""Rounding to the nearest: the whole numbers that lie closest to each weight."""

from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from pipeline.contract.law import Array
from pipeline.contract.small_weights import (
    LARGEST,
    SmallType,
    SmallWeight,
    StoredWeight,
    WeightType,
)

Integers = tuple[NDArray[np.int8], NDArray[np.float32]]
"""Whole numbers ``[rows, columns]``, and the scale of each row."""

# Bytes that the nodes and names of a stored weight take in a graph, about.
_AROUND = {"float32": 0, "float16": 128, "int8": 256, "int4": 768}


def rounded_to_nearest(
    weights: Mapping[str, Array], kind: SmallType, kept: frozenset[str] = frozenset()
) -> dict[str, SmallWeight]:
    """Every float32 weight as ``kind`` stores it, rounded to the nearest; ``kept`` stay float32."""
    found = {}
    for name, weight in weights.items():
        if weight.dtype != np.float32:
            continue
        stored = StoredWeight(
            type="float32" if name in kept else type_of(weight, kind), shape=weight.shape
        )
        if stored.type in LARGEST:
            matrix = weight.reshape(stored.rows, stored.columns)
            found[name] = SmallWeight(stored, *nearest(matrix, LARGEST[stored.type]))
        else:
            found[name] = SmallWeight(stored, weight.astype(stored.type))
    return found


def type_of(weight: Array, kind: SmallType) -> WeightType:
    """The type that ``weight`` is stored in where ``kind`` is asked for.

    Vectors, such as biases, stay float32, and so do weights that are not finite or so few that the
    nodes around them would take more bytes. float16 stores matrices of few columns, whose scales
    would take more bytes than the numbers.
    """
    if weight.ndim < 2 or not weight.size or not np.isfinite(weight).all():
        return "float32"
    rows, columns = weight.shape[0], prod(weight.shape[1:])
    sizes: dict[WeightType, int] = {
        "float32": 4 * weight.size,
        "float16": 2 * weight.size,
        "int8": rows * (columns + 4),
        "int4": rows * ((columns + 1) // 2 + 4),
    }
    types: list[WeightType] = ["float32"]
    if np.abs(weight).max() <= np.finfo(np.float16).max:
        types.append("float16")
    if kind in LARGEST:
        types.append(kind)
    return min(types, key=lambda one: sizes[one] + _AROUND[one])


def nearest(matrix: Array, largest: int, scale: NDArray[np.float32] | None = None) -> Integers:
    """``matrix`` ``[rows, columns]`` in whole numbers up to ``largest``, each the nearest.

    Without a ``scale``, the largest weight of a row becomes ``largest``.
    """
    exact = matrix.astype(np.float64)
    scale = row_scale(np.abs(exact).max(axis=1, initial=0), largest) if scale is None else scale
    numbers = np.rint(exact / scale.astype(np.float64)[:, None])
    return np.clip(numbers, -largest, largest).astype(np.int8), scale


def row_scale(most: Array, largest: int) -> NDArray[np.float32]:
    """The scale of rows whose largest weights are ``most``; 1 for a row of zeros."""
    scale = (most / largest).astype(np.float32)
    return np.where(scale > 0, scale, np.float32(1))
