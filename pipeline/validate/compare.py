"""Put one runtime through one case and measure how far off it is."""

import math

import numpy as np

from pipeline.runtimes.base import Exact, Runtime, State
from pipeline.signature import NEXT_STATE, OUTPUT, OWN_ERRORS, Tolerance
from pipeline.validate.cases import Answer, Case
from pipeline.validate.records import CaseRecord, Worst


def replay(runtime: Runtime, case: Case) -> tuple[State, State]:
    """The runtime's output and last state, called piece by piece with the state carried on."""
    input, state = case.input, case.state
    if case.order is not None:
        input, state = input[list(case.order)], state[list(case.order)]
    outputs, start = [], 0
    for length in case.cuts:
        output, state = runtime.run(input[:, start : start + length], state)
        outputs.append(output)
        start += length
    whole = np.concatenate(outputs, axis=1)
    if case.order is not None:
        back = np.argsort(case.order)
        return whole[back], state[back]
    return whole, state


def compare(runtime: Runtime, case: Case, answer: Answer, tolerance: Tolerance) -> CaseRecord:
    """One record: both results of ``runtime`` against the float64 twin."""
    found = runtime.run(*answer.steps) if answer.steps else replay(runtime, case)
    errors, differences, shares, worsts = [], [], [], []
    for name, y, y32, y64 in (
        (OUTPUT, found[0], answer.output32, answer.output64),
        (NEXT_STATE, found[1], answer.state32, answer.state64),
    ):
        if y.shape != y64.shape:
            raise ValueError(f"{name} has shape {list(y.shape)}, not {list(y64.shape)}")
        error = np.abs(y - y64)
        allowed = tolerance.atol + tolerance.rtol * np.abs(y64)
        share = error / np.maximum(allowed, OWN_ERRORS * np.abs(y32 - y64).max())
        share = np.where(np.isfinite(y), share, np.inf)
        index = np.unravel_index(int(share.argmax()), share.shape)
        errors.append(float(np.where(np.isfinite(y), error, np.inf).max()))
        differences.append(float(np.where(np.isfinite(y), np.abs(y - y32), np.inf).max()))
        shares.append(float(share[index]))
        worsts.append(_worst(name, index, y64, y))
    share, worst = max(zip(shares, worsts, strict=True), key=lambda pair: pair[0])
    return CaseRecord(
        case=case.name,
        batch=case.input.shape[0],
        time=case.input.shape[1],
        calls=1 if answer.steps else len(case.cuts),
        of_the_task=case.of_the_task,
        ill_conditioned=answer.steps is not None,
        output_error=finite(errors[0]),
        state_error=finite(errors[1]),
        pytorch_difference=finite(max(differences)),
        share=finite(share),
        worst=worst,
        passed=share <= 1,
    )


def _worst(name: str, index: tuple[np.intp, ...], expected: Exact, found: State) -> Worst:
    return Worst(
        tensor=name,
        index=tuple(map(int, index)),
        expected=float(expected[index]),
        found=finite(float(found[index])),
    )


def finite(value: float) -> float | None:
    """``value``, or None where JSON has no number for it."""
    return value if math.isfinite(value) else None
