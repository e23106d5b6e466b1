"""ONNX Runtime on one execution provider, with the provider's own word on where nodes ran."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from pipeline.errors import UnavailableError
from pipeline.runtimes.base import Input, Runtime, State
from pipeline.signature import INPUT, NEXT_STATE, OPERATOR, OUTPUT, STATE

EXECUTION_PROVIDER = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# TF32 keeps 10 bits of the mantissa; parity is measured without it.
_OPTIONS: dict[str, dict[str, Any]] = {"cuda": {"use_tf32": 0}}


class OnnxRuntime(Runtime):
    """A session on one provider; the CPU is always behind it for what it cannot run."""

    format = "ONNX"

    def __init__(self, file: bytes, provider: str) -> None:
        self.file = file
        self.provider = provider
        self.home = EXECUTION_PROVIDER[provider]
        self.name = f"onnxruntime {onnxruntime.__version__}"
        self.session = self._session(onnxruntime.SessionOptions())

    def _session(self, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
        options.log_severity_level = 3  # it warns about shapes that are dynamic on purpose
        providers: list[Any] = [(self.home, _OPTIONS.get(self.provider, {}))]
        if self.provider != "cpu":
            onnxruntime.preload_dlls()  # the CUDA libraries that PyTorch brought along
            providers.append(EXECUTION_PROVIDER["cpu"])
        session = onnxruntime.InferenceSession(self.file, options, providers)
        if self.home not in session.get_providers():  # it goes on without, and says nothing
            raise UnavailableError(
                f"{self.name} has {self.home} and cannot start it; look for missing CUDA or cuDNN "
                "libraries with onnxruntime.print_debug_info()"
            )
        return session

    def run(self, input: Input, state: State) -> tuple[State, State]:
        """One call of the contract."""
        feeds = {INPUT: np.ascontiguousarray(input), STATE: np.ascontiguousarray(state)}
        output, next_state = self.session.run([OUTPUT, NEXT_STATE], feeds)
        return output, next_state

    def placement(self) -> dict[str, str]:
        """Where each recurrent node ran, from the profile of one call in a session of its own."""
        with tempfile.TemporaryDirectory() as folder:
            options = onnxruntime.SessionOptions()
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            session = self._session(options)
            feeds = {}
            for argument in session.get_inputs():
                shape = [axis if isinstance(axis, int) else 1 for axis in argument.shape]
                kind = np.int64 if argument.type == "tensor(int64)" else np.float32
                feeds[argument.name] = np.zeros(shape, kind)
            session.run(None, feeds)
            events = json.loads(Path(session.end_profiling()).read_text())
        return {
            event["name"].removesuffix("_kernel_time"): event["args"]["provider"]
            for event in events
            if event.get("cat") == "Node" and event["args"].get("op_name") in OPERATOR.values()
        }


def why_absent(provider: str) -> str | None:
    """Why this build of ONNX Runtime cannot use ``provider``, and what to do; None if it can."""
    if EXECUTION_PROVIDER[provider] in onnxruntime.get_available_providers():
        return None
    return (
        f"onnxruntime {onnxruntime.__version__} was built without {EXECUTION_PROVIDER[provider]}; "
        "run 'make EXTRA=gpu' on a machine with an NVIDIA GPU"
    )
