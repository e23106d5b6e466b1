"""ONNX Runtime as an export runs what it has made."""

import onnxruntime

from pipeline.threads import session_options, weights_in


def cpu_session(onnx_file: bytes) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the CPU, quiet."""
    options = session_options(weights_in(onnx_file))
    options.log_severity_level = 4  # what goes wrong comes as an exception too
    return onnxruntime.InferenceSession(onnx_file, options, ["CPUExecutionProvider"])
