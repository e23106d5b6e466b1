"""A trained network, or any module, as TorchScript and as ONNX, checked before anyone sees it.

The package itself can be called: ``pipeline.export(module, example, name=…)`` makes a bundle of a
module, by :func:`pipeline.run.export.export_module`.
"""

from collections.abc import Sequence

from pipeline.export.module.files import export_onnx, export_torchscript
from pipeline.export.network.checks import check_graph, check_numbers
from pipeline.export.network.loops import export_loop
from pipeline.export.network.onnx_graph import to_onnx
from pipeline.export.network.torchscript import to_torchscript
from pipeline.later import call_later
from pipeline.model import Network
from pipeline.network_tensors import DEFAULT_OPSET, OPSETS
from pipeline.threads import torch_threads, weights_of

__all__ = ["DEFAULT_OPSET", "OPSETS", "export", "export_loop", "export_onnx", "export_torchscript"]


def export(
    network: Network,
    name: str,
    opset: int = DEFAULT_OPSET,
    spread: Sequence[float] | None = None,
) -> tuple[bytes, bytes]:
    """``network`` as the bytes of an ONNX file and of a TorchScript file.

    ``spread`` is the standard deviation of the residuals of each target, for sample paths.

    Raises:
        MalformedError: the network gives NaN or infinity.
        ParityError: what came out breaks the contract or gives other numbers; nothing is kept.
    """
    with torch_threads(weights_of(network)):
        graph = to_onnx(network, name, opset)
        check_graph(graph, network)
        onnx_file, torchscript_file = (
            graph.SerializeToString(deterministic=True),
            to_torchscript(network, spread),
        )
        check_numbers(onnx_file, torchscript_file, network)
    return onnx_file, torchscript_file


call_later(__name__, "pipeline.run.export", "export_module")
