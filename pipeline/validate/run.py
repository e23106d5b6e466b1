"""The validation of a bundle: one row for each runtime, with every case."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from pipeline.contract import Bundle
from pipeline.contract.law import Tolerance
from pipeline.runtimes.base import Absent, Refused, Runtime
from pipeline.runtimes.catalog import Runtimes
from pipeline.threads import torch_threads
from pipeline.validate.answered import Answered
from pipeline.validate.compare import compare
from pipeline.validate.current import machine, validation_versions
from pipeline.validate.free_run import compare_free_run
from pipeline.validate.judge import judged_row
from pipeline.validate.prepared import Prepared
from pipeline.validate.records import CaseRecord, FreeRun, Row, Validation


def validate_bundle(
    bundle: Bundle, runtimes: Runtimes, report: Callable[[Row], None] = lambda row: None
) -> Validation:
    """Compare ``runtimes`` with PyTorch on ``bundle``; ``report`` is called with each row.

    Raises:
        IntegrityError: a file of the bundle was changed.
        MalformedError: a file of the bundle is missing or not what it should be.
        ParityError: its golden numbers are not those that its weights give.
    """
    bundle.verify()
    manifest = bundle.manifest
    tolerance = manifest.tolerance["float32"]
    finished = []
    with torch_threads(manifest.parameters):
        prepared = prepare(bundle, runtimes)
        notes = dict(prepared.notes)
        for runtime in chain(prepared.itself, runtimes.open(bundle)):
            if isinstance(runtime, Refused) and runtime.name in prepared.may_refuse:
                runtime = Absent(runtime.format, runtime.name, runtime.provider, runtime.reason)
            audit = prepared.audits.get(runtime.format, [])
            row = validation_row(manifest.name, runtime, prepared.answered, tolerance, audit)
            note = notes.pop(runtime.format, "") if row.status == "pass" else ""
            if note:  # once for each format, in its first row
                row = row.model_copy(update={"note": "; ".join(filter(None, (row.note, note)))})
            report(row)
            finished.append(row)
        failed = {(row.runtime, row.provider) for row in finished if row.status == "fail"}
        for row in prepared.loops(failed):
            report(row)
            finished.append(row)
    return Validation(
        model=manifest.name,
        bundle_sha256=bundle.digest,
        runtimes=runtimes.names,
        providers=runtimes.providers,
        tolerance=tolerance,
        versions=validation_versions(runtimes.names),
        machine=machine(),
        rows=tuple(finished),
    )


def prepare(bundle: Bundle, runtimes: Runtimes) -> Prepared:
    """The preparations for the rows of ``bundle``; raises as :func:`validate_bundle`."""
    if bundle.manifest.module is None:
        from pipeline.validate.network import prepare_network

        return prepare_network(bundle, runtimes)
    from pipeline.validate.module import prepare_module

    return prepare_module(bundle, runtimes)


def validation_row(
    model: str,
    runtime: Runtime | Absent,
    reference: Answered,
    tolerance: Tolerance,
    audit: Sequence[str] = (),
) -> Row:
    """The row of one runtime, judged by all cases and the free run of ``reference``.

    ``audit`` lists the faults in the weights of the file that it runs. ``tolerance`` applies to a
    runtime that computes in float32; other precisions have their own.
    """

    def trial(runtime: Runtime, tolerance: Tolerance) -> Iterator[CaseRecord | FreeRun]:
        for one in reference.judging(runtime.precision):
            yield compare(runtime, one, tolerance)
        if (free_run := reference.free_answers(runtime.precision)) is not None:
            yield compare_free_run(runtime, free_run)

    return judged_row(model, runtime, trial, tolerance, audit)
