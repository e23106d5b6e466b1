"""What ``mlflow.onnx`` has to be given to log a bundle as it is."""

from typing import Any

import numpy as np

from pipeline.contract import Bundle
from pipeline.contract.files import ONNX_FILE
from pipeline.contract.golden import trajectories
from pipeline.contract.tensors import TensorSpec
from pipeline.errors import UnavailableError
from pipeline.packages import how_to_install, package_version


def mlflow_arguments(bundle: Bundle) -> dict[str, Any]:
    """Arguments of ``mlflow.onnx.log_model`` and ``save_model`` for ``bundle``.

    They are the graph; a signature, which has every tensor of the contract, the states too; an
    example, the first golden call from the initial states; the packages that run the graph; and
    the name and the digest of the bundle as metadata.

    Raises:
        UnavailableError: MLflow is not installed.
        PipelineError: a file of the bundle is missing, malformed or was changed.
    """
    try:
        from mlflow.models import ModelSignature
        from mlflow.types import Schema
        from mlflow.types import TensorSpec as Field
    except ImportError as error:
        raise UnavailableError(
            f"mlflow is not installed; run {how_to_install('mlflow-skinny')}"
        ) from error
    import onnx

    def schema(specs: tuple[TensorSpec, ...]) -> Any:
        return Schema([Field(np.dtype(spec.type), _shape(spec), spec.name) for spec in specs])

    manifest = bundle.manifest
    first = next(trajectories(bundle.golden(), manifest))
    example = {spec.name: first.calls[0][spec.name] for spec in manifest.contract.data_inputs}
    return {
        "onnx_model": onnx.load_from_string(bundle.read(ONNX_FILE)),
        "signature": ModelSignature(schema(manifest.inputs), schema(manifest.outputs)),
        "input_example": example | first.states,
        "pip_requirements": [
            f"{name}=={package_version(name)}" for name in ("onnx", "onnxruntime")
        ],
        "metadata": {"bundle": manifest.name, "bundle_sha256": bundle.digest},
    }


def _shape(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else -1 for size in spec.shape)
