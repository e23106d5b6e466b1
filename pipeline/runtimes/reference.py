"""The reference evaluator of the ``onnx`` package, which implements the standard in NumPy."""

from collections.abc import Mapping
from functools import partial
from typing import cast

import numpy as np
import onnx

from pipeline.contract.files import ONNX_FILE
from pipeline.contract.law import Array
from pipeline.errors import UnavailableError
from pipeline.runtimes.base import Runtime, layers_of
from pipeline.runtimes.kind import Kind


class OnnxReference(Runtime):
    """The graph, evaluated node by node."""

    format = "ONNX"
    provider = home = "cpu"
    name = f"onnx.reference {onnx.__version__}"

    def __init__(self, file: bytes) -> None:
        from onnx.reference import ReferenceEvaluator

        model = onnx.load_from_string(file)
        if any(layer.relu for layer in layers_of(model)):
            raise UnavailableError(f"{self.name} has no RNN with relu, only with tanh")
        self.evaluator = ReferenceEvaluator(model)

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of the graph."""
        # Its sigmoid, 1 / (1 + exp(-x)), overflows for large -x, and it takes the logarithm of 0.
        with np.errstate(over="ignore", divide="ignore"):
            return cast(list[Array], self.evaluator.run(None, dict(inputs)))


KIND = Kind(
    name="reference",
    format=OnnxReference.format,
    package="onnx",
    file=ONNX_FILE,
    openers=lambda file, provider: [partial(OnnxReference, file)],
    help="The reference evaluator of the onnx package",
    limits="It has no RNN with relu",
)
