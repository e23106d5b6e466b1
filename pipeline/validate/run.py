"""The validation of a bundle: one row for each runtime, with every case."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import isfinite

from pipeline.bundle import Bundle, network_of
from pipeline.bundle.network import exact_network
from pipeline.contract.files import ONNX_FILE, TORCHSCRIPT_FILE
from pipeline.contract.law import FLOAT32, LESS_THAN_FLOAT32, Precision, Tolerance
from pipeline.model import Network
from pipeline.runtimes.base import Absent, Input, Runtime
from pipeline.runtimes.catalog import Runtimes
from pipeline.runtimes.pytorch import PyTorch, Twin, rounded_otherwise
from pipeline.threads import torch_threads, weights_of
from pipeline.validate.audit import audit_onnx, audit_torchscript
from pipeline.validate.cases import make_cases
from pipeline.validate.compare import compare
from pipeline.validate.current import machine, validation_versions
from pipeline.validate.free_run import FreeAnswer, compare_free_run, free_answer
from pipeline.validate.golden import require_golden
from pipeline.validate.judge import judged_row
from pipeline.validate.loops import looped_rows
from pipeline.validate.records import CaseRecord, FreeRun, Row, Validation
from pipeline.verify import Answer, answer, own_errors

_ROUNDINGS = 3  # other roundings of the weights that a precision below float32 is tried with


@dataclass(frozen=True)
class Answered:
    """PyTorch's answers to every case, with inputs from ``source``, and its free run."""

    network: Network
    source: Input
    answers: Sequence[Answer]
    free_run: FreeAnswer | None

    def judging(self, precision: Precision) -> "Answered":
        """The answers that a runtime which computes in ``precision`` is judged by.

        Their own errors are PyTorch's in that precision. The error from one rounding of the weights
        can be small by luck, so the largest over several roundings is taken. Errors that are not
        finite are left out.
        """
        if precision == "float32":
            return self
        others = [rounded_otherwise(self.network, precision, seed) for seed in range(_ROUNDINGS)]
        answers = list(self.answers)
        for network in (self.network, *others):
            lesser = PyTorch(network, precision)
            for place, exact in enumerate(answers):
                errors = own_errors(exact, lesser, lesser.eps)
                own = {
                    name: max(exact.own[name], error if isfinite(error) else 0.0)
                    for name, error in errors.items()
                }
                answers[place] = replace(exact, own=own)
        free_run = free_answer(self.network, self.source, LESS_THAN_FLOAT32[precision], precision)
        return Answered(self.network, self.source, answers, free_run)


def answered(network: Network, source: Input, tolerance: Tolerance = FLOAT32) -> Answered:
    """The answers of ``network`` to every case, with inputs cut from ``source`` ``[time, …]``."""
    pytorch, twin = PyTorch(network), Twin(network)
    contract = network.signature.contract
    with torch_threads(weights_of(network)):
        cases = make_cases(source, network.vocabulary, pytorch)
        answers = [answer(contract, case, pytorch, twin) for case in cases]
        return Answered(network, source, answers, free_answer(network, source, tolerance))


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
    network, manifest = network_of(bundle), bundle.manifest
    tolerance = manifest.tolerance["float32"]
    require_golden(bundle, exact_network(network, bundle.task_data()))
    audits = {"ONNX": audit_onnx(bundle.read(ONNX_FILE), network, manifest.opset)}
    if not runtimes.trust.judge(bundle).refusal:  # opening TorchScript runs its code
        audits["TorchScript"] = audit_torchscript(bundle.read(TORCHSCRIPT_FILE), network)
    finished = []
    with torch_threads(weights_of(network)):
        reference = answered(network, bundle.task_data(), tolerance)
        itself = [PyTorch(network)] if "cpu" in runtimes.providers else []
        for runtime in chain(itself, runtimes.open(bundle)):
            audit = audits.get(runtime.format, [])
            row = validation_row(manifest.name, runtime, reference, tolerance, audit)
            report(row)
            finished.append(row)
        failed = {(row.runtime, row.provider) for row in finished if row.status == "fail"}
        for row in looped_rows(bundle, runtimes, network, reference.source, failed):
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
        expected = reference.judging(runtime.precision)
        for one in expected.answers:
            yield compare(runtime, one, tolerance)
        if expected.free_run is not None:
            yield compare_free_run(runtime, expected.free_run)

    return judged_row(model, runtime, trial, tolerance, audit)
