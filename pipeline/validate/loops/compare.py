"""One graph with the loop inside, put through one case."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.signature import (
    FLOAT32,
    FORECAST,
    HISTORY,
    LOG_PROB,
    NEXT_STATE,
    OWN_ERRORS,
    PATHS,
    PROMPT,
    TEXT,
)
from pipeline.validate.answers import allowed
from pipeline.validate.compare import finite
from pipeline.validate.loops.cases import Forecast, Generated
from pipeline.validate.records import CaseRecord, Worst

Outputs = Mapping[str, NDArray[Any]]


def compare_text(found: Outputs, case: Generated) -> tuple[CaseRecord, str]:
    """The record of a text, and the tie in it, if there is one.

    Characters must be PyTorch's, to the last; where one is not, the two candidates must be no
    further apart than the tolerance of the logits, and nothing after it is compared.
    """
    text, log_prob = found[TEXT], found[LOG_PROB]
    if text.shape != case.text.shape:
        raise ValueError(f"{TEXT} has shape {list(text.shape)}, not {list(case.text.shape)}")
    places = {point: place for place, point in enumerate(case.points)}
    worst = Worst(tensor=TEXT, index=(0, 0), expected=0.0, found=0.0)
    errors, shares, ties = [0.0], [0.0], []
    for stream in range(len(text)):
        differs = np.flatnonzero(text[stream] != case.text[stream])
        first = int(differs[0]) if len(differs) else text.shape[1]
        expected = np.array([case.draws[step][stream].log_prob for step in range(first)])
        error = np.abs(log_prob[stream, :first] - expected)
        # It is the difference of a logit and of what sums up all others.
        share = error / allowed(expected, 0.0, FLOAT32) / OWN_ERRORS
        if first and share.max() >= max(shares):
            at = int(share.argmax())
            worst = _worst(LOG_PROB, (stream, at), expected[at], log_prob[stream, at])
        errors.append(float(error.max(initial=0.0)))
        shares.append(float(share.max(initial=0.0)))
        if len(differs):
            draw = case.draws[first][stream]
            place = places.get(int(text[stream, first]))
            margin = np.inf if place is None else draw.margin(place)
            limit = float(allowed(np.abs(draw.logits).max(), 0.0, FLOAT32))
            if margin <= limit:
                ties.append(f"tie at character {first + 1}, candidates {margin:.1e} apart")
            else:
                shares.append(np.inf)
                place_of = (stream, first)
                worst = _worst(TEXT, place_of, case.text[place_of], text[place_of])
    state_error = 0.0
    if not ties and np.isfinite(shares).all():
        state_error = float(np.abs(found[NEXT_STATE] - case.state).max(initial=0.0))
        share = np.abs(found[NEXT_STATE] - case.state) / case.state_limits
        shares.append(float(share.max(initial=0.0)))
    record = _record(
        case.name, case.feeds[PROMPT], text.shape[1], errors, state_error, shares, worst
    )
    return record, "; ".join(ties)


def compare_forecast(found: Outputs, case: Forecast) -> CaseRecord:
    """The record of a forecast with its samples."""
    errors, shares, worst = {}, [0.0], None
    for name in (FORECAST, PATHS, NEXT_STATE):
        y, y64 = found[name], case.exact[name]
        if y.shape != y64.shape:
            raise ValueError(f"{name} has shape {list(y.shape)}, not {list(y64.shape)}")
        error = np.where(np.isfinite(y), np.abs(y - y64), np.inf)
        errors[name] = float(error.max(initial=0.0))
        if y.size:
            share = error / case.limits[name]
            at = np.unravel_index(int(share.argmax()), share.shape)
            if worst is None or share[at] > max(shares):
                worst = _worst(name, tuple(map(int, at)), y64[at], y[at])
            shares.append(float(share[at]))
    assert worst is not None  # there is always a state
    made = [errors[FORECAST], errors[PATHS]]
    steps = found[FORECAST].shape[1]
    return _record(case.name, case.feeds[HISTORY], steps, made, errors[NEXT_STATE], shares, worst)


def _worst(name: str, index: tuple[int, ...], expected: Any, found: Any) -> Worst:
    return Worst(tensor=name, index=index, expected=float(expected), found=finite(float(found)))


def _record(
    name: str,
    read: NDArray[Any],
    steps: int,
    errors: Sequence[float],
    state_error: float,
    shares: Sequence[float],
    worst: Worst,
) -> CaseRecord:
    share = max(shares)
    return CaseRecord(
        case=name,
        batch=len(read),
        time=steps,
        calls=1,
        of_the_task=True,
        ill_conditioned=False,
        output_error=finite(max(errors)),
        state_error=finite(state_error),
        pytorch_difference=finite(max(*errors, state_error)),
        share=finite(share),
        worst=worst,
        passed=share <= 1,
        curve=(),
    )
