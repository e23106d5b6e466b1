"""``manifest.json``: everything that a machine needs to run a bundle, and its JSON schema."""

from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.config import (
    Digest,
    ImportedSource,
    ModelConfig,
    Name,
    Record,
    SeriesModel,
    Source,
    TextModel,
)
from pipeline.contract.checks import check_parts
from pipeline.contract.law import FLOAT32, Tolerance
from pipeline.contract.records import Scaler, Spread, TrainingRecord, Versions
from pipeline.contract.tensors import TensorSpec
from pipeline.contract.weights import Shapes, weight_shapes
from pipeline.reading import JSON_LIMIT
from pipeline.seal import schema_of
from pipeline.signature import NEXT_STATE, STATE, Loop, loop, signature

SCHEMA_FILE = "manifest.schema.json"
WEIGHTS_FILE = "model.safetensors"
TORCHSCRIPT_FILE = "model.pt"
ONNX_FILE = "onnx/model.onnx"
GOLDEN_FILE = "golden.json"
CARD_FILE = "README.md"

_COPIES = 4  # largest number of copies of the weights in one file


class FileEntry(Record):
    """Digest and size of one file of the bundle."""

    sha256: Digest
    bytes: int = Field(ge=0)


class StateEntry(Record):
    """The state of a model: ``output`` of one call is fed back as ``input`` of the next.

    ``rows`` name what each row holds. The first ``h_columns`` of a row of h are used; they are
    fewer than the shape says if h is projected.
    """

    input: str
    output: str
    type: Literal["float32"] = "float32"
    shape: tuple[int | str, ...]
    initial: float
    rows: tuple[str, ...]
    h_columns: int


def state_entry(model: SeriesModel | TextModel) -> StateEntry | None:
    """The state of a model; None for a model of whole sequences."""
    tensors = signature(model)
    if not tensors.has_state:
        return None
    return StateEntry(
        input=STATE,
        output=NEXT_STATE,
        shape=tensors.state.shape,
        initial=0.0,
        rows=tensors.state_rows,
        h_columns=model.h_size,
    )


class Manifest(Record):
    """The content of ``manifest.json``, apart from its seal."""

    format: Literal[1]
    name: Name
    task: Literal["series", "text"]
    model: ModelConfig
    opset: int = Field(ge=18, le=99)
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    state: StateEntry | None = Field(description="null for a model of whole sequences")
    window: int | None = Field(
        ge=1,
        description="steps that a network of whole sequences was trained on; null if unknown, and "
        "for a network with a state",
    )
    loop: Loop | None = Field(
        description="the graph with the loop inside, onnx/<name>.onnx; null if the outputs cannot "
        "be the next inputs"
    )
    spread: tuple[Spread, ...] | None = Field(
        description="standard deviation of the one-step residuals of each target, raw units; null "
        "for text, and if unknown"
    )
    scaler: Scaler | None
    vocabulary: str | None
    source: Source | ImportedSource
    parameters: int
    training: TrainingRecord | None
    checkpoint_sha256: Digest
    versions: Versions
    tolerance: Tolerance
    files: dict[str, FileEntry]

    @model_validator(mode="after")
    def _parts_fit(self) -> "Manifest":
        model = self.model
        if model.task != self.task:
            raise ValueError("task and model are not of the same task")
        check_parts(
            model, self.source, self.scaler, self.vocabulary, self.parameters, self.training
        )
        tensors, contract = signature(model, len(self.vocabulary or "")), loop(model)
        _same("inputs", self.inputs, tensors.inputs)
        _same("outputs", self.outputs, tensors.outputs)
        if self.state != state_entry(model):
            raise ValueError("state is not that of the model")
        if (self.loop and self.loop.name) != (contract and contract.name):
            raise ValueError("loop is not that of the model")
        if self.loop and contract:
            _same("loop.inputs", self.loop.inputs, contract.inputs)
            _same("loop.outputs", self.loop.outputs, contract.outputs)
        if self.window is not None and tensors.has_state:
            raise ValueError("window is for models of whole sequences, and this one has a state")
        if self.spread != (self.training and self.training.spread):
            raise ValueError("spread is not residual_std of the scores")
        if not self.tolerance.within(FLOAT32):
            raise ValueError(f"tolerance allows more than rtol {FLOAT32.rtol}, atol {FLOAT32.atol}")
        self._check_files()
        return self

    def _check_files(self) -> None:
        needed = {CARD_FILE, WEIGHTS_FILE, TORCHSCRIPT_FILE, ONNX_FILE, GOLDEN_FILE}
        missing = sorted((needed | {self.loop.file} if self.loop else needed) - self.files.keys())
        if missing:
            raise ValueError(f"it lists no {', no '.join(missing)}")
        largest = JSON_LIMIT + _COPIES * 4 * self.parameters
        for name, entry in self.files.items():
            if entry.bytes > largest:
                raise ValueError(f"{name[:80]} is larger than files of such a model are")

    @property
    def weight_shapes(self) -> Shapes:
        """The shapes of the weights, by name."""
        return weight_shapes(self.model, len(self.vocabulary or ""))


def _same(what: str, found: tuple[TensorSpec, ...], expected: tuple[TensorSpec, ...]) -> None:
    """Raise ValueError unless names, types and shapes are the expected ones."""
    if [spec.form for spec in found] != [spec.form for spec in expected]:
        raise ValueError(f"{what} are not those of the model")


def manifest_schema() -> dict[str, Any]:
    """The JSON schema of ``manifest.json``, as committed in ``exported/``."""
    return schema_of(Manifest)
