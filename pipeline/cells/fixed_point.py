"""Arithmetic in fixed point: what the C of the target c-integer does, bit for bit.

A number is an integer in units of a power of two. A state is in units of 1 / 2^22, what the product
of a matrix gives in 1 / 2^16, and a gate, a candidate, and an h that a matrix is multiplied by in
1 / 2^15. In C, sums of these fit into 32 bits; here they are in 64.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

STATE_BITS, OUTPUT_BITS, PART_BITS = 22, 16, 15
STATE_LIMIT = 2**30
_SEGMENTS = 64  # of tanh from 0 to 8, where it is 1 to 2 / 10^7
_ONE = 2**PART_BITS


class FixedPoint:
    """The operations that a step is made of, on arrays of any shape."""

    STATE_BITS, OUTPUT_BITS, PART_BITS = STATE_BITS, OUTPUT_BITS, PART_BITS
    STATE_LIMIT = STATE_LIMIT
    """The largest c of a state, which is 256; its products fit into 32 bits."""

    @cached_property
    def parabolas(self) -> NDArray[np.int16]:
        """tanh from 0 to 8 in 64 segments: a parabola in each, ``[3, 64]``, in units of 1 / 2^15.

        They run through Chebyshev's nodes, where the error of the best parabola is nearly zero.
        """
        nodes = (1 - np.cos((np.arange(3) + 0.5) * np.pi / 3)) / 2
        starts = np.arange(_SEGMENTS)[:, None]
        values = np.tanh((starts + nodes) * 8 / _SEGMENTS)
        coefficients = np.linalg.solve(np.vander(nodes, increasing=True), values.T)
        whole: NDArray[np.int16] = (
            np.rint(coefficients * _ONE).clip(-_ONE, _ONE - 1).astype(np.int16)
        )
        whole[0] = whole[0].clip(0)  # a size is never negative
        return whole

    def tanh(self, x: Integers) -> Integers:
        """tanh of x, which is in units of 1 / 2^16, in units of 1 / 2^15; off by 3 at most."""
        return np.where(x < 0, -1, 1) * self._squashed(x, OUTPUT_BITS - 3)

    def sigmoid(self, x: Integers) -> Integers:
        """(1 + tanh(x / 2)) / 2, x in units of 1 / 2^16, in units of 1 / 2^15; off by 2 at most."""
        half = self.rounded(self._squashed(x, OUTPUT_BITS - 2), 1)
        found: Integers = _ONE // 2 + np.where(x < 0, -1, 1) * half
        return found

    def part(self, share: Integers, x: Integers) -> Integers:
        """The part of x that ``share``, in units of 1 / 2^15, says."""
        return self.rounded(share * x, PART_BITS)

    def narrow(self, h: Integers) -> Integers:
        """An h of the state as 16 bits, which a matrix is multiplied by."""
        found: Integers = np.minimum(self.rounded(h, STATE_BITS - PART_BITS), _ONE - 1)
        return found

    @staticmethod
    def rounded(x: Integers, bits: int) -> Integers:
        """x / 2^bits to the nearest integer, halves upwards."""
        found: Integers = (x + (1 << bits >> 1)) >> bits
        return found

    @staticmethod
    def split(x: Integers, parts: int) -> Sequence[Integers]:
        """The gates, which lie one after another along the last axis."""
        return np.split(x, parts, axis=-1)

    def _squashed(self, x: Integers, bits: int) -> Integers:
        """tanh of abs(x), whose segments are 2^bits long."""
        size = np.minimum(abs(x), (_SEGMENTS << bits) - 1)
        segment, t = size >> bits, (size & ((1 << bits) - 1)) << (PART_BITS - bits)
        zeroth, first, second = self.parabolas.astype(np.int64)[:, segment]
        slope = first + self.rounded(second * t, PART_BITS)
        found: Integers = zeroth + self.rounded(slope * t, PART_BITS)
        return found
