"""One runtime run on one case, and the record of its errors."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.contract.law import FLOAT32, Deviation, Tolerance, errors
from pipeline.contract.tensors import Tensors
from pipeline.runtimes.base import Runtime
from pipeline.validate.records import CaseRecord, Worst
from pipeline.verify import Answer, deviations, replay


def compare(runtime: Runtime, answer: Answer, tolerance: Tolerance) -> CaseRecord:
    """Run ``runtime`` on the case of ``answer`` and record its errors."""
    found = runtime.do(replay, answer.contract, answer.case)
    return record_of(answer, found, tolerance)


def record_of(
    answer: Answer, found: Sequence[Tensors], tolerance: Tolerance = FLOAT32
) -> CaseRecord:
    """The record of the results ``found``, which a model gave for the case of ``answer``."""
    case, places = answer.case, deviations(found, answer, tolerance)
    states = answer.states
    differences = (
        errors(call[name], expected[name]).max(initial=0.0)
        for call, expected in zip(found, answer.expected, strict=True)
        for name in places
    )
    return case_record(
        case.name,
        batch=case.batch,
        time=case.time,
        outputs=[off for name, several in places.items() if name not in states for off in several],
        states=[off for name in states for off in places[name]],
        difference=max(differences),
        calls=len(case.calls),
        of_the_task=case.of_the_task,
        ill_conditioned=answer.ill_conditioned,
        curve=_curve(answer, found[0]) if case.followed else (),
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
    """The record of a case, made from the deviations of its output and state tensors.

    ``difference`` is the largest difference from PyTorch's float32. If it is None, the largest
    error is recorded in its place.
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


def _curve(answer: Answer, found: Tensors) -> tuple[float | None, ...]:
    """The largest output error in each hundredth of one stream; None if it is not finite.

    Outputs without a time axis are left out; it is empty if no output has one.
    """
    contract, curves = answer.contract, []
    for name in found.keys() - answer.states:
        if (axis := contract.axis(contract.time, name)) is not None:
            steps = np.moveaxis(errors(found[name], answer.exact[0][name]), axis, 0)
            curves.append([part.max(initial=0.0) for part in np.array_split(steps, 100)])
    return tuple(finite(float(max(parts))) for parts in zip(*curves, strict=True))


def largest(errors: Iterable[float | None]) -> float | None:
    """The largest error; None, which stands for infinity, if one is None or there are none."""
    return finite(max((math.inf if error is None else error for error in errors), default=math.inf))


def finite(value: float) -> float | None:
    """``value``, or None if it is NaN or infinite, which JSON cannot hold."""
    return value if math.isfinite(value) else None
