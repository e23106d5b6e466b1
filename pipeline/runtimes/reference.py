"""The reference evaluator of the ``onnx`` package: the standard's own words in NumPy."""

from typing import cast

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from pipeline.errors import UnavailableError
from pipeline.runtimes.base import Input, Runtime, State, feeds, layers_of, results


class Reference(Runtime):
    """The graph, evaluated node by node."""

    format = "ONNX"
    provider = home = "cpu"
    name = f"onnx.reference {onnx.__version__}"

    def __init__(self, file: bytes) -> None:
        if any(layer.relu for layer in layers_of(file)):
            raise UnavailableError(f"{self.name} has no RNN with relu, only with tanh")
        self.evaluator = ReferenceEvaluator(onnx.load_from_string(file))

    def run(self, input: Input, state: State) -> tuple[State, State]:
        """One call of the contract."""
        with np.errstate(over="ignore"):  # its sigmoid is 1 / (1 + exp(-x)), whatever x is
            found = self.evaluator.run(None, feeds(input, state))
        return results(cast(list[State], found), state)
