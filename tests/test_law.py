"""The law: what is near enough to the truth, and what is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contract.law import (
    FLOAT32,
    LESS_THAN_FLOAT32,
    OWN_ERRORS,
    Tolerance,
    allowed,
    deviation,
    judged,
    nudged,
    own_error,
)

EXACT = np.array([[0.0, 1.0], [-100.0, 1e-6]])


@given(
    value=st.floats(-1e6, 1e6),
    own=st.floats(0, 1e-2),
    share=st.floats(0.01, 3).filter(lambda share: abs(share - 1) > 1e-3),
)
def test_a_number_passes_within_the_larger_of_tolerance_and_four_own_errors(
    value: float, own: float, share: float
) -> None:
    limit = max(FLOAT32.atol + FLOAT32.rtol * abs(value), OWN_ERRORS * own)
    exact, run = np.array([value]), np.array([value + own])
    assert allowed(exact, own)[0] == limit
    found = judged("y", np.array([value - share * limit]), exact, [exact, run])
    assert found.share == pytest.approx(share, rel=1e-2)
    assert found.within == (share < 1)


def test_the_place_is_that_of_the_largest_share_and_not_of_the_largest_error() -> None:
    off = np.array([[0, 0], [1e-3, 9e-5]])
    found = deviation("y", EXACT + off, EXACT, allowed(EXACT, 0.0))
    assert (found.index, found.within) == ((1, 1), False)
    assert found.error == pytest.approx(1e-3)
    assert (found.expected, found.found) == pytest.approx((1e-6, 9.1e-5))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_off_by_infinity(wrong: float) -> None:
    y = EXACT.copy()
    y[0, 1] = wrong
    found = deviation("y", y, EXACT, allowed(EXACT, 1e9))
    assert (found.error, found.share, found.index) == (np.inf, np.inf, (0, 1))


@pytest.mark.parametrize("kind", [np.int64, np.bool_, np.uint8])
def test_integers_are_right_or_wrong(kind: type[np.generic]) -> None:
    exact = np.array([0, 1, 1]).astype(kind)
    assert deviation("n", exact, exact, allowed(exact, 1e9)).within
    wrong = deviation("n", exact[::-1], exact, allowed(exact, 1e9))
    assert (wrong.share, wrong.index, wrong.within) == (np.inf, (0,), False)


def test_another_shape_is_named_and_nothing_is_within_every_limit() -> None:
    with pytest.raises(ValueError, match=r"y has shape \[2\], not \[2, 2\]"):
        deviation("y", EXACT[0], EXACT, allowed(EXACT, 0.0))
    assert deviation("y", EXACT[:0], EXACT[:0], allowed(EXACT[:0], 0.0)).within


def test_a_tolerance_of_zero_asks_for_the_very_number() -> None:
    exactly = Tolerance(rtol=0, atol=0)
    assert judged("y", EXACT, EXACT, [], exactly).within
    assert not judged("y", np.nextafter(EXACT, 1), EXACT, [], exactly).within


def test_nudges_are_roundings_of_the_type_and_leave_integers_alone() -> None:
    state = np.zeros((50, 2), np.float32)
    eps = np.finfo(np.float32).eps
    assert set(nudged(state).ravel()) == {-eps, eps}
    assert not np.array_equal(nudged(state), nudged(state, seed=1))
    assert np.array_equal(nudged(state), nudged(state))
    assert abs(nudged(state.astype(np.float64))).max() == np.finfo(np.float64).eps
    assert abs(nudged(state, eps=0.25)).max() == 0.25
    tokens = np.arange(5)
    assert nudged(tokens) is tokens


def test_the_own_error_is_the_largest_of_all_runs() -> None:
    assert own_error(EXACT, [EXACT, EXACT + 2e-5, EXACT - 1e-5]) == pytest.approx(2e-5)
    assert own_error(EXACT, []) == own_error(EXACT[:0], [EXACT[:0]]) == 0


def test_what_computes_in_less_is_allowed_more() -> None:
    assert all(FLOAT32.within(less) for less in LESS_THAN_FLOAT32.values())
    assert not any(less.within(FLOAT32) for less in LESS_THAN_FLOAT32.values())
