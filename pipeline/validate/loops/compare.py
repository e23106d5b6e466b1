"""One graph with the loop inside, put through one case."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.contract.law import FLOAT32, OWN_ERRORS
from pipeline.runtimes.base import Exact
from pipeline.signature import FORECAST, HISTORY, LOG_PROB, NEXT_STATE, PATHS, PROMPT, TEXT
from pipeline.validate.answers import allowed
from pipeline.validate.compare import finite
from pipeline.validate.loops.cases import Forecast, Generated
from pipeline.validate.records import CaseRecord, Worst

Outputs = Mapping[str, NDArray[Any]]


class _Place(NamedTuple):
    """Where one tensor is furthest off, and by what share of its limit."""

    error: float
    share: float
    worst: Worst


def compare_text(found: Outputs, case: Generated) -> tuple[CaseRecord, str]:
    """The record of a text, and the ties in it, if there are any.

    Characters must be PyTorch's, to the last; where one is not, the two candidates must be no
    further apart than the tolerance of the logits, and nothing after it is compared.
    """
    text, log_prob = found[TEXT], found[LOG_PROB]
    if text.shape != case.text.shape:
        raise ValueError(f"{TEXT} has shape {list(text.shape)}, not {list(case.text.shape)}")
    places, ties = [], []
    for stream in range(len(text)):
        differs = np.flatnonzero(text[stream] != case.text[stream])
        first = int(differs[0]) if len(differs) else text.shape[1]
        expected = np.array([case.draws[step][stream].log_prob for step in range(first)])
        # It is the difference of a logit and of what sums up all others.
        limits = allowed(expected, 0.0, FLOAT32) * OWN_ERRORS
        places.append(_place(LOG_PROB, log_prob[stream, :first], expected, limits, (stream,)))
        if len(differs):
            margin, limit = _margin(case, stream, first, int(text[stream, first]))
            if margin <= limit:
                ties.append(f"tie at character {first + 1}, candidates {margin:.1e} apart")
                continue
            at = (stream, first)
            worst = _worst(TEXT, at, case.text[at], text[at])
            places.append(_Place(0.0, np.inf, worst))
    if ties or any(np.isinf(place.share) for place in places):
        state = _Place(0.0, 0.0, places[0].worst)  # of another text
    else:
        state = _place(NEXT_STATE, found[NEXT_STATE], case.state, case.state_limits)
    return _record(case.name, case.feeds[PROMPT], text.shape[1], places, state), "; ".join(ties)


def _margin(case: Generated, stream: int, step: int, point: int) -> tuple[float, float]:
    """How far ``point`` was from being drawn, and how far is still a tie, in logits."""
    draw = case.draws[step][stream]
    limit = float(allowed(np.abs(draw.logits).max(), 0.0, FLOAT32))
    if point not in case.points:
        return np.inf, limit
    return draw.margin(case.points.index(point)), limit


def compare_forecast(found: Outputs, case: Forecast) -> CaseRecord:
    """The record of a forecast with its samples."""
    places = {}
    for name in (FORECAST, PATHS, NEXT_STATE):
        y, y64 = found[name], case.exact[name]
        if y.shape != y64.shape:
            raise ValueError(f"{name} has shape {list(y.shape)}, not {list(y64.shape)}")
        places[name] = _place(name, y, y64, case.limits[name])
    made = [places[FORECAST], places[PATHS]]
    steps = found[FORECAST].shape[1]
    return _record(case.name, case.feeds[HISTORY], steps, made, places[NEXT_STATE])


def _place(
    name: str, y: NDArray[Any], y64: Exact, limits: Exact, prefix: tuple[int, ...] = ()
) -> _Place:
    if not y.size:
        return _Place(0.0, 0.0, _worst(name, prefix, 0.0, 0.0))
    error = np.where(np.isfinite(y), np.abs(y - y64), np.inf)
    share = error / limits
    at = tuple(map(int, np.unravel_index(int(share.argmax()), share.shape)))
    worst = _worst(name, (*prefix, *at), y64[at], y[at])
    return _Place(float(error.max()), float(share[at]), worst)


def _worst(name: str, index: tuple[int, ...], expected: Any, found: Any) -> Worst:
    return Worst(tensor=name, index=index, expected=float(expected), found=finite(float(found)))


def _record(
    name: str, read: NDArray[Any], steps: int, made: Sequence[_Place], state: _Place
) -> CaseRecord:
    largest = max((*made, state), key=lambda place: place.share)
    output_error = max(place.error for place in made)
    return CaseRecord(
        case=name,
        batch=len(read),
        time=steps,
        calls=1,
        of_the_task=True,
        ill_conditioned=False,
        output_error=finite(output_error),
        state_error=finite(state.error),
        pytorch_difference=finite(max(output_error, state.error)),
        share=finite(largest.share),
        worst=largest.worst,
        passed=largest.share <= 1,
        curve=(),
    )
