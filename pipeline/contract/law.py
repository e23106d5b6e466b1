"""The law: how far a runtime's number may be from the exact one. Every comparison uses it.

    |y - y64| <= max(atol + rtol · |y64|, 4 · own)

``y`` is the number of the runtime, and ``y64`` the number that the module computes from the same
inputs in float64, which counts as exact. ``own`` is PyTorch's own error: the largest error of its
float32 in that tensor.

The first term is that of ``numpy.testing.assert_allclose`` and of ``torch.testing``: an error that
grows with the number, and a floor for numbers near zero. Its constants are set for float32, whose
rounding error is 6e-8, after some hundred additions and steps. This term alone is not enough: a
recurrent network feeds its rounding errors back, some networks amplify them, and a correct runtime
is then as far off as PyTorch is. So the second term allows a runtime four times PyTorch's own
error. One run of PyTorch can come close to the exact numbers by luck, so ``own`` is the largest
error over several runs, whose inputs differ in their last bit (:func:`nudged`). Judging a computed
result as the exact result of slightly changed inputs is the idea of backward error: N. Higham,
*Accuracy and Stability of Numerical Algorithms*, 2nd edition, section 1.5.

If PyTorch itself is off by more than ``ILL_CONDITIONED``, the second term would let everything
pass. Such a case is compared step by step, each step from the state that PyTorch had; if that is
not possible, the case is reported to prove nothing. The error of NaN, infinity or a wrong integer
is infinite.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.config import Record

Array = NDArray[Any]
Exact = NDArray[np.float64]

OWN_ERRORS = 4  # how many times PyTorch's own error a runtime may be off
ILL_CONDITIONED = 1e-3  # PyTorch's own error above which whole sequences prove nothing
_SEED = 20_240_301


class Tolerance(Record):
    """A runtime may be off by ``atol + rtol·|y|``, or by four times PyTorch's own error."""

    rtol: float = Field(ge=0)
    atol: float = Field(ge=0)

    def within(self, other: "Tolerance") -> bool:
        """Whether this allows no more than ``other``."""
        return self.rtol <= other.rtol and self.atol <= other.atol


# Precisions that a runtime may compute in. TF32 has as many bits of mantissa as float16: 10.
Precision = Literal["float32", "tf32", "float16", "bfloat16"]
_BITS: dict[Precision, int] = {"float32": 23, "tf32": 10, "float16": 10, "bfloat16": 7}
EPS = {precision: 2.0**-bits for precision, bits in _BITS.items()}  # rounding of a number near one
FLOAT32 = Tolerance(rtol=1e-4, atol=1e-5)
LESS_THAN_FLOAT32: dict[Precision, Tolerance] = {
    "tf32": Tolerance(rtol=1e-3, atol=2.5e-3),
    "float16": Tolerance(rtol=1e-3, atol=2.5e-3),
    "bfloat16": Tolerance(rtol=1e-2, atol=2e-2),
}
TOLERANCES: dict[Precision, Tolerance] = {"float32": FLOAT32, **LESS_THAN_FLOAT32}


def allowed(exact: Array | float, own: float | Exact, tolerance: Tolerance = FLOAT32) -> Exact:
    """The largest allowed error of each number of ``exact``; ``own`` is PyTorch's own error."""
    given = tolerance.atol + tolerance.rtol * np.abs(exact)
    larger: Exact = np.maximum(given, OWN_ERRORS * own)
    return larger


def own_error(exact: Exact, runs: Iterable[Array]) -> float:
    """PyTorch's own error: the largest error of one tensor over ``runs``; 0 if it is empty."""
    return float(max((errors(run, exact).max(initial=0.0) for run in runs), default=0.0))


def nudged(array: Array, eps: float | None = None, seed: int = 0) -> Array:
    """``array`` with every number shifted up or down at random by ``eps``.

    ``eps`` is the rounding of numbers near one, by default that of the array's type. Integers are
    not changed.
    """
    if array.dtype.kind != "f":
        return array
    signs = np.random.default_rng(_SEED + seed).choice([-1, 1], array.shape)
    off: Array = array + (np.finfo(array.dtype).eps if eps is None else eps) * signs
    return off.astype(array.dtype)


def errors(found: Array, exact: Array) -> Exact:
    """The absolute differences of two tensors; infinite where ``found`` is not finite."""
    with np.errstate(invalid="ignore"):
        differences = np.abs(found.astype(np.float64) - exact.astype(np.float64))
    infinite: Exact = np.where(np.isfinite(found), differences, np.inf)
    return infinite


@dataclass(frozen=True)
class Deviation:
    """How far a tensor is from the exact one.

    ``error`` is the largest difference, and ``share`` the largest ratio of an error to its limit;
    both are infinite if a number is not finite. ``index`` is the place of the largest share, with
    the number ``found`` there and the ``expected`` one.
    """

    tensor: str
    error: float
    share: float
    index: tuple[int, ...]
    expected: float
    found: float

    @property
    def within(self) -> bool:
        """The verdict: every number is within its limit."""
        return self.share <= 1


def deviation(tensor: str, found: Array, exact: Array, limits: Exact) -> Deviation:
    """How far ``found`` is from ``exact``, with ``limits`` for the error of each number.

    The limits do not apply to integers and booleans, which must be equal.

    Raises:
        ValueError: the shapes differ.
    """
    if found.shape != exact.shape:
        raise ValueError(f"{tensor} has shape {list(found.shape)}, not {list(exact.shape)}")
    if not exact.size:
        return Deviation(tensor, 0.0, 0.0, (), 0.0, 0.0)
    error = errors(found, exact)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = error / limits if exact.dtype.kind == "f" else np.full(error.shape, np.inf)
    share = np.where(error == 0, 0.0, share)
    at = tuple(map(int, np.unravel_index(int(share.argmax()), share.shape)))
    place = float(share[at]), at, float(exact[at]), float(found[at])
    return Deviation(tensor, float(error.max()), *place)


def judged(
    tensor: str, found: Array, exact: Array, own: Iterable[Array], tolerance: Tolerance = FLOAT32
) -> Deviation:
    """The law in one call: how far ``found`` is from ``exact``, given PyTorch's ``own`` runs.

    Raises:
        ValueError: the shapes differ.
    """
    return deviation(tensor, found, exact, allowed(exact, own_error(exact, own), tolerance))
