"""Checks of arguments from Python: arrays against the contract, numbers against their range."""

import math
import operator
from collections.abc import Container, Mapping, Sequence
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.contract.held_out import code_points
from pipeline.contract.tensors import TensorSpec
from pipeline.errors import MalformedError, UsageError, unknown
from pipeline.network_tensors import Sampling

Sizes = dict[str, int]


def check_arrays(
    specs: Sequence[TensorSpec],
    given: Mapping[str, ArrayLike],
    model: str,
    sizes: Sizes,
    optional: Container[str] = (),
) -> dict[str, NDArray[Any]]:
    """``given`` as arrays, checked against the names, types and shapes of ``specs``.

    ``sizes`` holds the sizes of dynamic axes known so far; new ones are added to it. The tensors
    named in ``optional`` may be missing.

    Raises:
        UsageError: a name is unknown, or missing.
        MalformedError: an array has another type or shape, or a number in it is not finite.
    """
    for name in given:
        if name not in {spec.name for spec in specs}:
            raise unknown(f"input of {model}", name, [spec.name for spec in specs])
    for spec in specs:
        if spec.name not in given and spec.name not in optional:
            raise UsageError(f"{model} reads {spec.name}, which is missing; give {wanted(spec)}")
    specs = [spec for spec in specs if spec.name in given]
    return {spec.name: check_array(spec, given[spec.name], model, sizes) for spec in specs}


def check_array(spec: TensorSpec, given: ArrayLike, model: str, sizes: Sizes) -> NDArray[Any]:
    """``given`` as an array of the type and shape of ``spec``; raises as :func:`check_arrays`.

    Integers and other floats are converted to the float type of the contract, and integers to its
    integer type. A ``str`` is converted to its code points ``[1, time]`` if the contract has int64
    of two axes.
    """
    name = spec.name
    if isinstance(given, str) and spec.type == "int64" and len(spec.shape) == 2:
        given = code_points(check_text(name, given))[None]
    try:
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, tensors on a GPU
        raise MalformedError(f"{name} of {model} is no array; give {wanted(spec)}") from error
    kind = np.dtype(spec.type)
    if array.dtype.kind not in {"f": "iuf", "b": "b"}.get(kind.kind, "iu"):
        raise MalformedError(f"{name} of {model} is {array.dtype}; give {wanted(spec)}")
    if kind.kind in "iu" and array.size and not _within(array, kind):
        raise MalformedError(f"{name} of {model} is out of range of {kind}; give {wanted(spec)}")
    _check_shape(spec, array.shape, model, sizes)
    with np.errstate(over="ignore"):
        array = array.astype(spec.type, copy=False)
    if kind.kind == "f" and not (finite := np.isfinite(array)).all():
        place = ", ".join(map(str, np.argwhere(~finite)[0]))
        raise MalformedError(
            f"{name}[{place}] of {model} is NaN, infinite or too large for {kind}; give a number"
        )
    return array


def _within(array: NDArray[Any], kind: np.dtype[Any]) -> bool:
    """Whether integers are in the range of the integer type ``kind``."""
    limits = np.iinfo(kind)
    return limits.min <= int(array.min()) and int(array.max()) <= limits.max


def _check_shape(spec: TensorSpec, shape: tuple[int, ...], model: str, sizes: Sizes) -> None:
    if len(shape) != len(spec.shape):
        raise MalformedError(
            f"{spec.name} of {model} has the shape {list(shape)}; give {wanted(spec)}"
        )
    for axis, size in zip(spec.shape, shape, strict=True):
        expected = sizes.setdefault(axis, size) if isinstance(axis, str) else axis
        if size != expected or size == 0:
            known = f", and {axis} is {expected} here" if isinstance(axis, str) and size else ""
            raise MalformedError(
                f"{spec.name} of {model} has the shape {list(shape)}; give {wanted(spec)}{known}"
            )


def wanted(spec: TensorSpec) -> str:
    """Type, shape and meaning of a tensor, for a message."""
    return f"{spec.typed_shape}, {spec.meaning}"


def whole(name: str, value: SupportsIndex, least: int) -> int:
    """``value`` of the argument ``name`` as an int.

    Raises:
        UsageError: it is no whole number, or less than ``least``.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise UsageError(f"{name} is {value!r}; give a whole number from {least} up")
    return number


def real(name: str, value: SupportsFloat, least: float, most: float = math.inf) -> float:
    """``value`` of the argument ``name`` as a float.

    Raises:
        UsageError: it is no finite number, or not from ``least`` to ``most``.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (least <= number <= most and math.isfinite(number)):
        upto = f"from {least:g} up" if math.isinf(most) else f"from {least:g} to {most:g}"
        raise UsageError(f"{name} is {value!r}; give a number {upto}")
    return number


def check_text(name: str, text: str) -> str:
    """``text`` of the argument ``name``.

    Raises:
        UsageError: it is no ``str``, or contains a lone surrogate.
    """
    if not isinstance(text, str):
        raise UsageError(f"{name} is {type(text).__name__}; give a str")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{name}: not Unicode at character {error.start}; decode it from its own encoding"
        ) from error
    return text


def check_sampling(temperature: float, top_k: int, top_p: float) -> Sampling:
    """The settings of the sampler, checked.

    Raises:
        UsageError: a value is out of its range.
    """
    sampling = Sampling(
        real("temperature", temperature, 0), whole("top_k", top_k, 0), real("top_p", top_p, 0, 1)
    )
    if sampling.top_p == 0:
        raise UsageError("top_p is 0, which leaves nothing to draw from; give more, up to 1")
    return sampling
