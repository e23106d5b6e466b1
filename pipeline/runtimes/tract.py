"""tract, an engine in Rust: one model with symbolic batch and time.

The exporter writes graphs that tract can run. Version 0.23 crashes if a recurrent node has no
initial state and the batch is dynamic, takes zeros that the graph makes for float64, and fails if a
tensor is both an output of the graph and an input of a node.
"""

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import onnx

from pipeline.contract.files import ONNX_FILE
from pipeline.contract.law import Array
from pipeline.errors import UnavailableError
from pipeline.network_tensors import STEPS
from pipeline.packages import package_version
from pipeline.runtimes.base import Layer, Runtime, layers_of
from pipeline.runtimes.kind import Kind


class Tract(Runtime):
    """A model that tract has prepared to run."""

    format = "ONNX"
    provider = home = "cpu"

    def __init__(self, file: bytes) -> None:
        import tract

        self.name = f"tract {package_version('tract')}"
        model = onnx.load_from_string(file)
        if bug := _bug(layers_of(model)):
            raise UnavailableError(f"{self.name} {bug}, which is a bug in tract")
        if any(given.name == STEPS for given in model.graph.input):
            raise UnavailableError(f"{self.name} cannot size a tensor by the number in an input")
        with tempfile.TemporaryDirectory() as folder:  # tract loads only from a path
            path = Path(folder) / "model.onnx"
            path.write_bytes(file)
            self.model = tract.onnx().load(path).into_model().into_runnable()

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of the graph; tract takes the inputs by their order."""
        return [tensor.to_numpy() for tensor in self.model.run(list(inputs.values()))]


def _bug(layers: Sequence[Layer]) -> str:
    """The known bug of tract 0.23 with these layers; empty if there is none."""
    if any(layer.relu for layer in layers):
        return "computes every RNN with tanh, also one with relu"
    if len(layers) == 1 and layers[0].operator == "LSTM" and layers[0].bidirectional:
        return "runs a single bidirectional LSTM layer for a batch of one and no other"
    return ""


KIND = Kind(
    name="tract",
    format=Tract.format,
    package="tract",
    file=ONNX_FILE,
    openers=lambda file, provider: [partial(Tract, file)],
    help="tract, one model with symbolic batch and time",
    limits="It has no RNN with relu, runs a single bidirectional LSTM layer for a batch of one "
    "alone, and runs no graph in which an input says how long an output is",
    extras=("tract",),
    requirement="tract>=0.23.9",
)
