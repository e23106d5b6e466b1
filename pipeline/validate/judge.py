"""The row of one runtime, made from the records of a trial."""

import time
from collections.abc import Callable, Iterable, Sequence

from pipeline.contract.law import FLOAT32, LESS_THAN_FLOAT32, Tolerance
from pipeline.errors import one_line
from pipeline.runtimes.base import Absent, Refused, Runtime, RuntimeProcessError, Unsafe
from pipeline.validate.compare import largest
from pipeline.validate.records import CaseRecord, FreeRun, Row


def judged_row(
    model: str,
    runtime: Runtime | Absent,
    trial: Callable[[Runtime, Tolerance], Iterable[CaseRecord | FreeRun | str]],
    tolerance: Tolerance = FLOAT32,
    audit: Sequence[str] = (),
) -> Row:
    """The row of ``runtime``, from the records and notes that ``trial`` yields.

    The row fails if a record failed, if the runtime raised any error, if a node ran on another
    provider, or if ``audit`` lists faults of its file. A runtime that is absent is not run.
    """
    row = Row(
        model=model,
        format=runtime.format,
        runtime=runtime.name,
        provider=runtime.provider,
        status="not run",
    )
    if isinstance(runtime, Absent):
        status = "fail" if isinstance(runtime, Refused) else "not run"
        unsafe = isinstance(runtime, Unsafe)
        return row.model_copy(update={"status": status, "reason": runtime.reason, "unsafe": unsafe})
    tolerance = LESS_THAN_FLOAT32.get(runtime.precision, tolerance)
    started = time.monotonic()
    records: list[CaseRecord] = []
    notes = [runtime.note] if runtime.note else []
    free: FreeRun | None = None
    placement: dict[str, str] = {}
    trouble = []
    try:
        for found in trial(runtime, tolerance):
            if isinstance(found, CaseRecord):
                records.append(found)
            elif isinstance(found, FreeRun):
                free = found
            else:
                notes.append(found)
        placement = runtime.placement()
    except RuntimeProcessError as error:
        trouble.append(str(error))
    except Exception as error:
        trouble.append(one_line(error))
    trouble += audit
    trouble += [f"{node} ran on {at}" for node, at in placement.items() if at != runtime.home]
    trouble += failures(records)
    if free is not None and not free.passed:
        trouble.append(f"free run, step {free.first_difference}: {free.note}")
    judged = finished(row, records, trouble, notes, placement, tolerance, started)
    return judged.model_copy(update={"precision": runtime.precision, "free_run": free})


def finished(
    row: Row,
    records: Sequence[CaseRecord],
    trouble: Sequence[str],
    notes: Sequence[str],
    placement: dict[str, str],
    tolerance: Tolerance,
    started: float,
) -> Row:
    """``row`` with the records of its cases and their largest errors; it fails on any ``trouble``.

    ``started`` is the time of ``time.monotonic`` at which the trial began.
    """
    return row.model_copy(
        update={
            "tolerance": tolerance,
            "note": "; ".join(notes),
            "status": "fail" if trouble else "pass",
            "reason": "; ".join(trouble),
            "placement": placement,
            "output_error": largest(record.output_error for record in records),
            "state_error": largest(record.state_error for record in records),
            "pytorch_difference": largest(
                record.pytorch_difference for record in records if record.of_the_task
            ),
            "share": largest(record.share for record in records),
            "seconds": round(time.monotonic() - started, 2),
            "cases": tuple(records),
        }
    )


def failures(records: Sequence[CaseRecord]) -> list[str]:
    """The description of the first case that failed; empty if none did."""
    return [describe(record) for record in records if not record.passed][:1]


def describe(record: CaseRecord) -> str:
    """A case in words, with the number that is closest to its tolerance or farthest beyond it."""
    worst = record.worst
    found = "not finite" if worst.found is None else f"{worst.found:.7g}"
    return (
        f"{record.case}, batch {record.batch}, time {record.time}: {worst.tensor}"
        f"{list(worst.index)} is {found}, not {worst.expected:.7g}"
    )
