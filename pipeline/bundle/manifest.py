"""``manifest.json``: everything that a machine needs to run a bundle, and its JSON schema."""

from typing import Any, Literal

import jsonschema
from pydantic import Field

from pipeline.checkpoint import TrainingRecord
from pipeline.config import ImportedSource, ModelConfig, Record, Source
from pipeline.errors import MalformedError
from pipeline.model import Scaler
from pipeline.signature import Loop, TensorSpec, Tolerance, check_format

SCHEMA_FILE = "manifest.schema.json"


class FileEntry(Record):
    """Digest and size of one file of the bundle."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class StateEntry(Record):
    """How a stream is carried on: ``output`` of one call is ``input`` of the next.

    ``h_columns`` are used of a row of h; fewer than the shape says where it is projected.
    """

    input: str
    output: str
    type: Literal["float32"] = "float32"
    shape: tuple[int | str, ...]
    initial: float
    rows: tuple[str, ...]
    h_columns: int


class Manifest(Record):
    """The content of ``manifest.json``."""

    format: Literal[1]
    name: str
    task: Literal["series", "text"]
    model: ModelConfig
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    state: StateEntry | None = Field(description="null: whole sequences, without a state")
    window: int | None = Field(
        description="steps that a network of whole sequences was trained on, if that is known; "
        "null for one that carries state"
    )
    loop: Loop | None = Field(
        description="the graph with the loop inside, onnx/<name>.onnx; null where the outputs "
        "cannot be the next inputs"
    )
    spread: tuple[float, ...] | None = Field(
        description="standard deviation of one-step residuals of each target, raw units; null for "
        "text and where it is unknown"
    )
    scaler: Scaler | None
    vocabulary: str | None
    source: Source | ImportedSource
    parameters: int
    training: TrainingRecord | None
    checkpoint_sha256: str
    versions: dict[str, str]
    tolerance: Tolerance
    files: dict[str, FileEntry]


def manifest_schema() -> dict[str, Any]:
    """The JSON schema of ``manifest.json``, as committed in ``exported/``."""
    schema = Manifest.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def check_manifest(content: Any, where: str) -> None:
    """Hold parsed JSON against the schema.

    Raises:
        MalformedError: it does not fit; ``where`` and the place are named.
    """
    check_format(content, where)
    errors = jsonschema.Draft202012Validator(manifest_schema()).iter_errors(content)
    error = next(iter(errors), None)
    if error is not None:
        place = "/".join(map(str, error.absolute_path)) or "the top"
        raise MalformedError(f"{where}: {error.message[:200]} at {place}; export it anew")
