"""The preparations to validate a built-in network: its answers, its audits and its loop."""

from functools import cache

from pipeline.bundle import Bundle, network_of
from pipeline.bundle.network import network_reference
from pipeline.contract.files import ONNX_FILE, TORCHSCRIPT_FILE
from pipeline.contract.law import FLOAT32, LESS_THAN_FLOAT32, Precision, Tolerance
from pipeline.model import Network
from pipeline.runtimes.base import Input
from pipeline.runtimes.catalog import Runtimes
from pipeline.runtimes.pytorch import PyTorch
from pipeline.threads import torch_threads, weights_of
from pipeline.validate.answered import Answered, answered
from pipeline.validate.audit import audit_onnx, audit_torchscript
from pipeline.validate.free_run import FreeAnswer, free_answer
from pipeline.validate.golden import require_golden
from pipeline.validate.loops import looped_rows
from pipeline.validate.prepared import Prepared


def prepare_network(bundle: Bundle, runtimes: Runtimes) -> Prepared:
    """The preparations for the network in ``bundle``; raises as :func:`validate_bundle`."""
    network, manifest = network_of(bundle), bundle.manifest
    source = bundle.task_data()
    require_golden(bundle, network_reference(network, source))
    audits = {"ONNX": audit_onnx(bundle.read(ONNX_FILE), network, manifest.opset)}
    if not runtimes.trust.judge(bundle).refusal:  # opening TorchScript runs its code
        audits["TorchScript"] = audit_torchscript(bundle.read(TORCHSCRIPT_FILE), network)
    return Prepared(
        answered_by(network, source, manifest.tolerance["float32"]),
        audits,
        itself=[PyTorch(network)] if "cpu" in runtimes.providers else [],
        loops=lambda failed: looped_rows(bundle, runtimes, network, source, failed),
    )


def answered_by(network: Network, source: Input, tolerance: Tolerance = FLOAT32) -> Answered:
    """The answers of ``network``, with inputs cut from ``source`` ``[time, …]``, and its free run.

    ``tolerance`` is that of float32.
    """

    @cache
    def free(precision: Precision) -> FreeAnswer | None:
        own = LESS_THAN_FLOAT32.get(precision, tolerance)
        return free_answer(network, source, own, precision)

    with torch_threads(weights_of(network)):
        return answered(network_reference(network, source), free)
