"""Put one runtime through one case and measure how far off it is."""

import math
from collections.abc import Iterable

import numpy as np

from pipeline.contract.law import Tolerance
from pipeline.runtimes.base import Exact, Runtime, State
from pipeline.signature import NEXT_STATE, OUTPUT
from pipeline.validate.answers import Answer, allowed
from pipeline.validate.cases import Case, replay
from pipeline.validate.records import CaseRecord, Worst


def compare(runtime: Runtime, case: Case, answer: Answer, tolerance: Tolerance) -> CaseRecord:
    """One record: both results of ``runtime`` against the float64 twin."""
    found = runtime.run(*answer.steps) if answer.steps else replay(runtime, case)
    errors, differences, shares, worsts = [], [], [], []
    for name, y, y32, y64, own in (
        (OUTPUT, found[0], answer.output32, answer.output64, answer.own_output),
        (NEXT_STATE, found[1], answer.state32, answer.state64, answer.own_state),
    ):
        if y.shape != y64.shape:
            raise ValueError(f"{name} has shape {list(y.shape)}, not {list(y64.shape)}")
        if y64.shape[1] == 0:  # a network of whole sequences has no state
            errors.append(np.zeros(1))
            continue
        error = np.where(np.isfinite(y), np.abs(y - y64), np.inf)
        share = error / allowed(y64, own, tolerance)
        index = np.unravel_index(int(share.argmax()), share.shape)
        errors.append(error)
        differences.append(float(np.where(np.isfinite(y), np.abs(y - y32), np.inf).max()))
        shares.append(float(share[index]))
        worsts.append(_worst(name, index, y64, y))
    output_error, state_error = errors
    closest, worst = max(zip(shares, worsts, strict=True), key=lambda pair: pair[0])
    return CaseRecord(
        case=case.name,
        batch=case.input.shape[0],
        time=case.input.shape[1],
        calls=1 if answer.steps else len(case.cuts),
        of_the_task=case.of_the_task,
        ill_conditioned=answer.ill_conditioned,
        output_error=finite(float(output_error.max())),
        state_error=finite(float(state_error.max())),
        pytorch_difference=finite(max(differences)),
        share=finite(closest),
        worst=worst,
        passed=closest <= 1,
        curve=_curve(output_error) if case.followed else (),
    )


def _curve(error: Exact) -> tuple[float | None, ...]:
    """The largest error in each hundredth of one stream, ``error`` being in the order of time."""
    steps = error.reshape(-1, error.shape[-1])
    return tuple(finite(float(part.max())) for part in np.array_split(steps, 100))


def _worst(name: str, index: tuple[np.intp, ...], expected: Exact, found: State) -> Worst:
    return Worst(
        tensor=name,
        index=tuple(map(int, index)),
        expected=float(expected[index]),
        found=finite(float(found[index])),
    )


def largest(errors: Iterable[float | None]) -> float | None:
    """The largest error; None, which stands for infinity, when one of them is or there is none."""
    return finite(max((math.inf if error is None else error for error in errors), default=math.inf))


def finite(value: float) -> float | None:
    """``value``, or None where JSON has no number for it."""
    return value if math.isfinite(value) else None
