"""Comparison of the outputs of a graph with the loop inside with one case."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.contract.law import OWN_ERRORS, Deviation, allowed, deviation
from pipeline.network_tensors import FORECAST, HISTORY, LOG_PROB, NEXT_STATE, PATHS, PROMPT, TEXT
from pipeline.validate.compare import case_record
from pipeline.validate.loops.cases import ForecastCase, TextCase
from pipeline.validate.records import CaseRecord

Outputs = Mapping[str, NDArray[Any]]


def compare_text(found: Outputs, case: TextCase) -> tuple[CaseRecord, str]:
    """The record of a generated text, and a description of its ties, empty if there are none.

    Every character must be the one that PyTorch drew. At the first that differs, it is a tie if the
    logits of the two candidates are no further apart than their tolerance; the rest of that stream
    is then not compared.

    Raises:
        ValueError: the text has another shape than the one of PyTorch.
    """
    text, log_prob = found[TEXT], found[LOG_PROB]
    if text.shape != case.text.shape:
        raise ValueError(f"{TEXT} has shape {list(text.shape)}, not {list(case.text.shape)}")
    places, ties = [], []
    for stream in range(len(text)):
        differs = np.flatnonzero(text[stream] != case.text[stream])
        first = int(differs[0]) if len(differs) else text.shape[1]
        expected = np.array([case.draws[step][stream].log_prob for step in range(first)])
        # A log-probability is the difference of a logit and the logarithm of a sum over all logits.
        limits = allowed(expected, 0.0) * OWN_ERRORS
        drawn = deviation(LOG_PROB, log_prob[stream, :first], expected, limits)
        places.append(replace(drawn, index=(stream, *drawn.index)))
        if len(differs):
            margin, limit = _margin(case, stream, first, int(text[stream, first]))
            if margin <= limit:
                ties.append(f"tie at character {first + 1}, candidates {margin:.1e} apart")
                continue
            at = (stream, first)
            other = Deviation(TEXT, 0.0, np.inf, at, float(case.text[at]), float(text[at]))
            places.append(other)
    states = []
    # After another character, the last state is that of another text and is not compared.
    if not ties and not any(np.isinf(place.share) for place in places):
        states.append(deviation(NEXT_STATE, found[NEXT_STATE], case.state, case.state_limits))
    batch, steps = len(case.feeds[PROMPT]), text.shape[1]
    record = case_record(case.name, batch=batch, time=steps, outputs=places, states=states)
    return record, "; ".join(ties)


def _margin(case: TextCase, stream: int, step: int, point: int) -> tuple[float, float]:
    """The distance of ``point`` from being drawn, and the largest distance of a tie, in logits."""
    draw = case.draws[step][stream]
    limit = float(allowed(np.abs(draw.logits).max(), 0.0))
    if point not in case.points:
        return np.inf, limit
    return draw.margin(case.points.index(point)), limit


def compare_forecast(found: Outputs, case: ForecastCase) -> CaseRecord:
    """The record of a forecast, its sample paths and its last state."""
    forecast, paths, state = (
        deviation(name, found[name], case.exact[name], case.limits[name])
        for name in (FORECAST, PATHS, NEXT_STATE)
    )
    return case_record(
        case.name,
        batch=len(case.feeds[HISTORY]),
        time=found[FORECAST].shape[1],
        outputs=[forecast, paths],
        states=[state],
    )
