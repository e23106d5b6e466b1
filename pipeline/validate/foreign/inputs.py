"""The values of the inputs of a pair: fixed, drawn from a range, or taken from a file."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.contract.stored import Sizes
from pipeline.contract.tensors import TensorSpec
from pipeline.errors import MalformedError, UsageError, unknown
from pipeline.reading import read_file
from pipeline.validate.foreign.model import Array

INTEGERS = 10  # exclusive upper end of small integers, such as tokens, if nothing tells another


class Values(Protocol):
    """Where the values of one input come from."""

    def fill(self, shape: Sequence[int], rng: np.random.Generator, sizes: Sizes) -> Array:
        """An array of that shape, where dynamic axes have the ``sizes``."""


@dataclass(frozen=True)
class Fixed:
    """The same number everywhere."""

    number: float

    def fill(self, shape: Sequence[int], rng: np.random.Generator, sizes: Sizes) -> Array:
        """An array of that number."""
        return np.full(shape, self.number)


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included where they are ``integers``."""

    low: float
    high: float
    integers: bool

    def fill(self, shape: Sequence[int], rng: np.random.Generator, sizes: Sizes) -> Array:
        """Numbers that are drawn uniformly."""
        if self.integers:
            return np.asarray(rng.integers(int(self.low), int(self.high), shape, endpoint=True))
        return np.asarray(rng.uniform(self.low, self.high, shape))


@dataclass(frozen=True)
class Taken:
    """A piece of an array from a place that is drawn; at its end it begins again."""

    array: Array

    def fill(self, shape: Sequence[int], rng: np.random.Generator, sizes: Sizes) -> Array:
        """A piece of that shape."""
        piece = self.array
        for axis, size in enumerate(shape):
            length = piece.shape[axis]
            start = rng.integers(length) if size != length else 0
            piece = piece.take((start + np.arange(size)) % length, axis)
        return piece


def read_values(text: str, inputs: Sequence[TensorSpec]) -> tuple[str, Values]:
    """The name and the values in ``NAME=VALUE``, ``NAME=LOW..HIGH`` or ``NAME=FILE``.

    Raises:
        UsageError: it is none of these, or not what the input's type and shape hold.
        MalformedError: the file is missing, or is no array of NumPy.
    """
    name, _, value = text.rpartition("=")
    known = {item.name: item for item in inputs}
    if name and name not in known:
        raise unknown("input", name, known)
    if name and value.endswith((".npy", ".npz")):
        return name, Taken(_array(text, known[name], Path(value)))
    low, dots, high = value.partition("..")
    ends = [_number(low), _number(high if dots else low)]
    if not name or not all(map(isfinite, ends)) or ends[0] > ends[1]:
        raise UsageError(
            f"--input {text} is not NAME=VALUE with a number, true or false, nor NAME=LOW..HIGH, "
            "nor NAME=FILE with a .npy or .npz file"
        )
    kind = np.dtype(known[name].type)
    if kind.kind != "f":
        _must_hold(text, known[name], min(ends), max(ends), all(n == int(n) for n in ends))
    return name, Range(ends[0], ends[1], kind.kind != "f") if dots else Fixed(ends[0])


def _number(text: str) -> float:
    try:
        return float({"true": "1", "false": "0"}.get(text.lower(), text))
    except ValueError:
        return nan


def _must_hold(text: str, item: TensorSpec, low: float, high: float, whole: bool) -> None:
    """Refuse numbers that the integers of an input do not hold."""
    kind = np.dtype(item.type)
    ends = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
    if not whole or low < ends[0] or high > ends[1]:
        raise UsageError(f"--input {text} is not {kind}, which '{item.name}' holds")


def _array(text: str, item: TensorSpec, path: Path) -> Array:
    """The array of ``path`` for an input, which fits the input's type and fixed sizes."""
    data = read_file(path, "the file of --input")
    try:
        content: Any = np.load(io.BytesIO(data), allow_pickle=False)
        if not isinstance(content, np.ndarray):
            names = list(content)
            content = content[item.name if item.name in names or len(names) != 1 else names[0]]
    except KeyError as error:
        raise UsageError(f"--input {text}: the file has no array '{item.name}'") from error
    except Exception as error:  # damaged files make NumPy raise many kinds
        raise MalformedError(f"{path} is no array that NumPy saved; write it anew") from error
    array = np.asarray(content)
    fits = len(array.shape) == len(item.shape) and all(
        size == axis if isinstance(axis, int) else size > 0
        for size, axis in zip(array.shape, item.shape, strict=True)
    )
    if not fits:
        raise UsageError(f"--input {text} has the shape {list(array.shape)}, which is not {item}")
    kind = np.dtype(item.type)
    if array.dtype.kind not in ("fiub" if kind.kind == "f" else "iub"):
        raise UsageError(f"--input {text} holds {array.dtype}, and '{item.name}' is {kind}")
    if kind.kind != "f" and array.size:
        _must_hold(text, item, int(array.min()), int(array.max()), True)
    return array
