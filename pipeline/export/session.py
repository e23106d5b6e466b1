"""ONNX Runtime as an export runs what it has made."""

from collections.abc import Mapping

import onnxruntime

from pipeline.contract.law import Array
from pipeline.threads import session_options, weights_in


def cpu_session(onnx_file: bytes) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the CPU, quiet."""
    options = session_options(weights_in(onnx_file))
    options.log_severity_level = 4  # what goes wrong comes as an exception too
    return onnxruntime.InferenceSession(onnx_file, options, ["CPUExecutionProvider"])


class Session:
    """ONNX Runtime as the engine calls it."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self.session = session

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of the graph."""
        found: list[Array] = self.session.run(None, dict(inputs))
        return found
