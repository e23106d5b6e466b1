"""Put one runtime through one case and measure how far off it is."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.contract.law import Deviation, Exact, Tolerance, allowed, deviation, errors
from pipeline.runtimes.base import Runtime
from pipeline.signature import NEXT_STATE, OUTPUT
from pipeline.validate.answers import Answer
from pipeline.validate.cases import Case, replay
from pipeline.validate.records import CaseRecord, Worst


def compare(runtime: Runtime, case: Case, answer: Answer, tolerance: Tolerance) -> CaseRecord:
    """One record: both results of ``runtime`` against the float64 twin."""
    output, state = runtime.run(*answer.steps) if answer.steps else replay(runtime, case)
    limits = allowed(answer.output64, answer.own_output, tolerance)
    state_limits = allowed(answer.state64, answer.own_state, tolerance)
    return case_record(
        case.name,
        batch=case.input.shape[0],
        time=case.input.shape[1],
        outputs=[deviation(OUTPUT, output, answer.output64, limits)],
        states=[deviation(NEXT_STATE, state, answer.state64, state_limits)],
        difference=max(
            errors(output, answer.output32).max(), errors(state, answer.state32).max(initial=0.0)
        ),
        calls=1 if answer.steps else len(case.cuts),
        of_the_task=case.of_the_task,
        ill_conditioned=answer.ill_conditioned,
        curve=_curve(errors(output, answer.output64)) if case.followed else (),
    )


def case_record(
    case: str,
    *,
    batch: int,
    time: int,
    outputs: Sequence[Deviation],
    states: Sequence[Deviation],
    difference: float | None = None,
    calls: int = 1,
    of_the_task: bool = True,
    ill_conditioned: bool = False,
    curve: tuple[float | None, ...] = (),
) -> CaseRecord:
    """The record of a case, by how far its tensors are off.

    ``difference`` is that from PyTorch's float32; without one, the error stands for it.
    """
    output_error, state_error = (
        max((tensor.error for tensor in tensors), default=0.0) for tensors in (outputs, states)
    )
    worst = max((*outputs, *states), key=lambda tensor: tensor.share)
    if difference is None:
        difference = max(output_error, state_error)
    return CaseRecord(
        case=case,
        batch=batch,
        time=time,
        calls=calls,
        of_the_task=of_the_task,
        ill_conditioned=ill_conditioned,
        output_error=finite(output_error),
        state_error=finite(state_error),
        pytorch_difference=finite(difference),
        share=finite(worst.share),
        worst=Worst(
            tensor=worst.tensor,
            index=worst.index,
            expected=worst.expected,
            found=finite(worst.found),
        ),
        passed=worst.within,
        curve=curve,
    )


def _curve(error: Exact) -> tuple[float | None, ...]:
    """The largest error in each hundredth of one stream, ``error`` being in the order of time."""
    steps = error.reshape(-1, error.shape[-1])
    return tuple(finite(float(part.max())) for part in np.array_split(steps, 100))


def largest(errors: Iterable[float | None]) -> float | None:
    """The largest error; None, which stands for infinity, when one of them is or there is none."""
    return finite(max((math.inf if error is None else error for error in errors), default=math.inf))


def finite(value: float) -> float | None:
    """``value``, or None where JSON has no number for it."""
    return value if math.isfinite(value) else None
