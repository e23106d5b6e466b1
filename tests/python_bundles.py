"""The names of bundles ``at_work``, data for them, and how close their numbers are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

CHAR, SINE, TWO, BOTH = "char-lstm", "sine-gru", "two", "both"
WAVE = np.sin(np.arange(40) / 10).astype(np.float32)
POINTS = np.array([[ord(character) for character in "the quick brown fox"]])


def close(found: NDArray[Any], expected: NDArray[Any]) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
