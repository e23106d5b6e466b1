"""The preparations to validate a built-in network: its answers, its audits and its loop."""

from functools import cache

from pipeline.bundle import Bundle
from pipeline.bundle.network import original_in
from pipeline.contract.files import ONNX_FILE, TORCHSCRIPT_FILE
from pipeline.contract.law import FLOAT32, LESS_THAN_FLOAT32, Precision, Tolerance
from pipeline.runtimes.catalog import Runtimes
from pipeline.validate.answered import Answered, answered
from pipeline.validate.audit import audit_onnx, audit_torchscript
from pipeline.validate.free_run import FreeAnswer, free_answer
from pipeline.validate.golden import require_golden
from pipeline.validate.loops import looped_rows
from pipeline.validate.prepared import Prepared
from pipeline.verify import TaskReference


def prepare_network(bundle: Bundle, runtimes: Runtimes) -> Prepared:
    """The preparations for the network in ``bundle``; raises as :func:`validate_bundle`."""
    original, manifest = original_in(bundle), bundle.manifest
    reference = original.reference
    require_golden(bundle, reference)
    audits = {"ONNX": audit_onnx(bundle.read(ONNX_FILE), original.constants, manifest.opset)}
    if not runtimes.trust.judge(bundle).refusal:  # opening TorchScript runs its code
        file = bundle.read(TORCHSCRIPT_FILE)
        audits["TorchScript"] = audit_torchscript(file, original.tensors)
    return Prepared(
        answered_by(reference, manifest.tolerance["float32"]),
        audits,
        itself=[original.eager] if "cpu" in runtimes.providers else [],
        loops=lambda failed: looped_rows(bundle, runtimes, reference, failed),
    )


def answered_by(reference: TaskReference, tolerance: Tolerance = FLOAT32) -> Answered:
    """The answers of a built-in network, and its free run; ``tolerance`` is that of float32."""

    @cache
    def free(precision: Precision) -> FreeAnswer | None:
        own = LESS_THAN_FLOAT32.get(precision, tolerance)
        return free_answer(reference, own, precision)

    return answered(reference, free)
