"""The law: how far a number may be from the truth. Everything that judges numbers judges by it.

    |y - y64| <= max(atol + rtol · |y64|, 4 · own)

``y`` is what a runtime gives, and ``y64`` what the module gives for the same in float64: the truth,
as far as a float32 can tell. ``own`` is the largest error of PyTorch itself in that tensor.

The first term is the form of ``numpy.testing.assert_allclose`` and of ``torch.testing``: an error
that grows with the number, and a floor for numbers near zero. Its constants are set for float32,
whose rounding error is 6e-8, after some hundred additions and steps. It is not enough alone: a
recurrent network feeds its rounding errors back, so that some networks amplify them, and an honest
runtime is then as far off as PyTorch is. Hence the second term: a runtime may be off by four times
what PyTorch is off. One run of PyTorch can come close to the truth by luck; so ``own`` is the
largest error of several runs, whose inputs differ in their last bit (:func:`nudged`). That a
computed result is judged as the exact one of slightly changed inputs is the idea of backward
error: N. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd edition, section 1.5.

Where PyTorch itself is off by more than ``ILL_CONDITIONED``, the second term would let everything
pass. Such a case is compared step by step, each step from the state that PyTorch had, or it proves
nothing, and that is said. NaN, infinity and a wrong integer are off by infinity.
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
ILL_CONDITIONED = 1e-3  # PyTorch's own error from which whole sequences say nothing
_SEED = 20_240_301


class Tolerance(Record):
    """A runtime may be off by ``atol + rtol·|y|``, or by four times PyTorch's own error."""

    rtol: float = Field(ge=0)
    atol: float = Field(ge=0)

    def within(self, other: "Tolerance") -> bool:
        """Whether this allows no more than ``other``."""
        return self.rtol <= other.rtol and self.atol <= other.atol


# What a runtime may compute in. TF32 keeps as many bits of a number as float16: 10 and a sign.
Precision = Literal["float32", "tf32", "float16", "bfloat16"]
FLOAT32 = Tolerance(rtol=1e-4, atol=1e-5)
LESS_THAN_FLOAT32: dict[Precision, Tolerance] = {
    "tf32": Tolerance(rtol=1e-3, atol=2.5e-3),
    "float16": Tolerance(rtol=1e-3, atol=2.5e-3),
    "bfloat16": Tolerance(rtol=1e-2, atol=2e-2),
}


def allowed(exact: Array | float, own: float | Exact, tolerance: Tolerance = FLOAT32) -> Exact:
    """How far off each number may be, of the shape of ``exact``; ``own`` is PyTorch's own error."""
    given = tolerance.atol + tolerance.rtol * np.abs(exact)
    larger: Exact = np.maximum(given, OWN_ERRORS * own)
    return larger


def own_error(exact: Exact, runs: Iterable[Array]) -> float:
    """The largest error of PyTorch itself in one tensor, in any of ``runs``; 0 if it is empty."""
    return float(max((np.abs(run - exact).max(initial=0.0) for run in runs), default=0.0))


def nudged(array: Array, eps: float | None = None, seed: int = 0) -> Array:
    """An array whose numbers are off by a rounding of numbers near one, up or down by chance.

    ``eps`` is that rounding, that of the array's own type by default. Integers stay as they are.
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
    """How far a tensor is from the truth.

    ``error`` is the largest difference and ``share`` the largest share of what was allowed, both
    infinite where a number is not finite; ``index`` is the place of that share, with the number
    that was ``found`` there and the ``expected`` one.
    """

    tensor: str
    error: float
    share: float
    index: tuple[int, ...]
    expected: float
    found: float

    @property
    def within(self) -> bool:
        """The verdict: every number is as near to the truth as the law asks."""
        return self.share <= 1


def deviation(tensor: str, found: Array, exact: Array, limits: Exact) -> Deviation:
    """How far ``found`` is from ``exact``, each number being allowed its one of ``limits``.

    Integers and booleans are right or wrong, whatever the limits say.

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
    """The law in one call: how far ``found`` is from ``exact``, PyTorch having given ``own``.

    Raises:
        ValueError: the shapes differ.
    """
    return deviation(tensor, found, exact, allowed(exact, own_error(exact, own), tolerance))
