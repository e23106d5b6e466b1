"""OpenVINO on the CPU, in its default precision and in float32."""

import os
import sys
from collections.abc import Mapping
from functools import partial
from types import ModuleType
from typing import Any, cast

from pipeline.contract.files import ONNX_FILE
from pipeline.contract.law import Array, Precision
from pipeline.errors import UnavailableError, one_line
from pipeline.packages import package_version
from pipeline.runtimes.base import Runtime
from pipeline.runtimes.kind import Kind
from pipeline.threads import threads_of, weights_in

HINT = "INFERENCE_PRECISION_HINT"
# One call runs at a time. Threads are not pinned, since a pinned thread waits behind other work.
_QUIETLY: dict[str, Any] = {"NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")  # variables that limit oneDNN's instructions
_PRECISION: dict[str, Precision] = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


class OpenVino(Runtime):
    """A compiled model; without a ``precision``, OpenVINO takes the fastest of the processor."""

    format = "ONNX"
    provider = home = "cpu"

    def __init__(self, file: bytes, precision: str | None = None) -> None:
        """Compile the model in ``file``.

        Raises:
            UnavailableError: it cannot be compiled while a variable limits oneDNN's instructions.
        """
        core = load_openvino().Core()
        version = f"openvino {package_version('openvino')}"
        self.name = f"{version}, {precision or 'default'}"
        asked = dict(_QUIETLY, INFERENCE_NUM_THREADS=threads_of(weights_in(file)))
        if precision:
            asked[HINT] = precision
        model = core.read_model(file)
        try:
            self.compiled = core.compile_model(model, "CPU", asked)
        except RuntimeError as error:
            limit = next((name for name in _LIMITS if name in os.environ), None)
            if limit is None:
                raise
            raise UnavailableError(
                f"{version} chooses kernels by the processor, which {limit}={os.environ[limit]} "
                f"then forbids; unset that variable ({one_line(error)})"
            ) from error
        self.precision = _PRECISION[self.compiled.get_property(HINT).get_type_name()]
        self.request = self.compiled.create_infer_request()
        if self.precision != "float32":
            self.note = f"computes in {self.precision} on this processor unless {HINT}=f32 is set"

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of the graph."""
        return list(self.request.infer(dict(inputs)).to_tuple())


def load_openvino() -> ModuleType:
    """The ``openvino`` package, imported without its telemetry.

    Importing the telemetry writes an identifier to the home folder and reports to its maker. If
    ``openvino_telemetry`` cannot be imported, OpenVINO does neither.
    """
    sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))
    import openvino

    return cast(ModuleType, openvino)


KIND = Kind(
    name="openvino",
    format=OpenVino.format,
    package="openvino",
    file=ONNX_FILE,
    openers=lambda file, provider: [partial(OpenVino, file, hint) for hint in (None, "f32")],
    help="OpenVINO on the CPU, one row in its default precision and one in float32",
    limits="Its default is bfloat16 on processors that have it",
    extras=("openvino",),
    requirement="openvino>=2026.4",
)
