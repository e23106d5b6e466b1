"""Validate a bundle: every case on every runtime, one row each."""

import platform
import time
from collections.abc import Callable, Iterable, Sequence

import onnxruntime
import torch
from pydantic import ValidationError

from pipeline.bundle import Bundle
from pipeline.bundle.read import VALIDATION_FILE
from pipeline.bundle.write import ONNX_FILE, TORCHSCRIPT_FILE
from pipeline.checkpoint import versions
from pipeline.errors import one_line
from pipeline.model import Network
from pipeline.runtimes import Absent, Runtime, open_runtimes
from pipeline.runtimes.base import Input
from pipeline.runtimes.pytorch import PyTorch, Twin
from pipeline.signature import Tolerance
from pipeline.validate.audit import audit_onnx, audit_torchscript
from pipeline.validate.cases import Answer, Case, answer, make_cases
from pipeline.validate.compare import compare, finite
from pipeline.validate.records import CaseRecord, Row, Validation


def validation_versions() -> dict[str, str]:
    """The versions that decide what a validation finds."""
    return {**versions(), "onnxruntime": onnxruntime.__version__}


def validate_bundle(
    bundle: Bundle, providers: tuple[str, ...], report: Callable[[Row], None] = lambda row: None
) -> Validation:
    """Compare every runtime on every provider with PyTorch; ``report`` sees each row when done.

    Raises:
        IntegrityError: a file of the bundle was changed.
        MalformedError: a file of the bundle is missing or not what it should be.
    """
    bundle.verify()
    network = bundle.network()
    answered = answers(network, bundle.held_out())
    audits = {
        "ONNX": audit_onnx(bundle.read(ONNX_FILE), network),
        "TorchScript": audit_torchscript(bundle.read(TORCHSCRIPT_FILE), network),
    }
    manifest, finished = bundle.manifest, []
    for runtime in open_runtimes(bundle, providers):
        audit = audits.get(runtime.format, [])
        row = validation_row(manifest.name, runtime, answered, manifest.tolerance, audit)
        report(row)
        finished.append(row)
    return Validation(
        model=bundle.manifest.name,
        bundle_sha256=bundle.digest,
        providers=providers,
        tolerance=bundle.manifest.tolerance,
        versions=validation_versions(),
        machine=f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
        rows=tuple(finished),
    )


def answers(network: Network, source: Input) -> list[tuple[Case, Answer]]:
    """Every case on inputs drawn from ``source`` ``[time, …]``, with PyTorch's answer to it."""
    pytorch, twin = PyTorch(network), Twin(network)
    cases = make_cases(source, network.vocabulary, pytorch)
    return [(case, answer(case, pytorch, twin)) for case in cases]


def current_validation(bundle: Bundle, providers: tuple[str, ...]) -> Validation | None:
    """The validation in the bundle if it passed and validating now would do the same again."""
    if VALIDATION_FILE not in bundle.manifest.files:
        return None
    try:
        validation = Validation.model_validate_json(bundle.read(VALIDATION_FILE))
    except ValidationError:
        return None
    done = (validation.bundle_sha256, validation.providers, validation.versions)
    now = (bundle.digest, providers, validation_versions())
    return validation if validation.passed and done == now else None


def validation_row(
    model: str,
    runtime: Runtime | Absent,
    answered: Iterable[tuple[Case, Answer]],
    tolerance: Tolerance,
    audit: Sequence[str] = (),
) -> Row:
    """One runtime through all cases; whatever it throws is a finding, not an error of ours.

    ``audit`` lists what is wrong with the weights in the file that it runs.
    """
    row = Row(
        model=model,
        format=runtime.format,
        runtime=runtime.name,
        provider=runtime.provider,
        status="not run",
    )
    if isinstance(runtime, Absent):
        return row.model_copy(update={"reason": runtime.reason})
    started = time.monotonic()
    records: list[CaseRecord] = []
    try:
        records = [compare(runtime, case, answer, tolerance) for case, answer in answered]
        placement = runtime.placement()
    except Exception as error:
        update = {"status": "fail", "reason": one_line(error), "cases": tuple(records)}
        return row.model_copy(update=update)
    elsewhere = [f"{node} ran on {at}" for node, at in placement.items() if at != runtime.home]
    failed = [record for record in records if not record.passed]
    reasons = [*audit, *elsewhere, *(describe(record) for record in failed[:1])]
    return row.model_copy(
        update={
            "status": "fail" if reasons else "pass",
            "reason": "; ".join(reasons),
            "placement": placement,
            "output_error": _largest(record.output_error for record in records),
            "state_error": _largest(record.state_error for record in records),
            "pytorch_difference": _largest(
                record.pytorch_difference for record in records if record.of_the_task
            ),
            "share": _largest(record.share for record in records),
            "seconds": round(time.monotonic() - started, 2),
            "cases": tuple(records),
        }
    )


def _largest(errors: Iterable[float | None]) -> float | None:
    """The largest error; None, which stands for infinity, when one of them is."""
    return finite(max(float("inf") if error is None else error for error in errors))


def describe(record: CaseRecord) -> str:
    """The case, and the place where it comes closest to its tolerance or goes beyond."""
    worst = record.worst
    return (
        f"{record.case}, batch {record.batch}, time {record.time}: {worst.tensor}"
        f"{list(worst.index)} is {worst.found}, not {worst.expected:.7g}"
    )
