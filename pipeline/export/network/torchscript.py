"""A network of our own as a TorchScript file."""

from collections.abc import Sequence

from pipeline.export.network.onnx_graph import example_inputs
from pipeline.export.network.script import loop_methods
from pipeline.export.torchscript import trace
from pipeline.model import Network
from pipeline.network_tensors import loop


def to_torchscript(
    network: Network, spread: Sequence[float] | None = None, first: bool = False
) -> bytes:
    """``network`` as a TorchScript file, which ``torch.jit.load`` reads in Python and C++.

    Where its outputs can be its next inputs, the file has the loop as a further method. ``spread``
    is the standard deviation of the residuals of each target, for samples of a forecast. With
    ``first``, classes have the names that torch gives them, which are the same wherever it is the
    first trace of its process: bundles of format 1 have those.
    """
    inputs = example_inputs(network, batch=2, time=3)
    if loop(network.config) is None:
        return trace(network.exported(), inputs, first=first)
    methods = {"next_output": (network.zero_state(2),)}
    return trace(network, inputs, methods, loop_methods(network, spread), first)
