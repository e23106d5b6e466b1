"""The content of ``checkpoint.json``."""

import platform
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag, model_validator

from pipeline import __version__
from pipeline.config import Config, Digest, ImportedConfig, Record
from pipeline.contract.checks import check_parts
from pipeline.contract.held_out import HeldOut, check_task_data
from pipeline.contract.records import Scaler, TrainingRecord, Versions
from pipeline.packages import package_version
from pipeline.storage import canonical_json, sha256

CHECKPOINT_FILE = "checkpoint.json"


class Weights(Record):
    """The weights file of a checkpoint."""

    file: str
    sha256: Digest


def _origin(config: Any) -> str:
    """The tag of a configuration or of its JSON: ``trained`` or ``imported``."""
    source = config.get("source") if isinstance(config, dict) else getattr(config, "source", None)
    kind = source.get("kind") if isinstance(source, dict) else getattr(source, "kind", None)
    return _IMPORTED if kind == "imported" else _TRAINED


_TRAINED, _IMPORTED = "trained", "imported"


class Checkpoint(Record):
    """The content of ``checkpoint.json``; for imported weights, ``training`` is None.

    ``held_out`` is data that training never saw; for imported weights it is generated.
    """

    format: Literal[1] = 1
    config: Annotated[
        Annotated[Config, Tag(_TRAINED)] | Annotated[ImportedConfig, Tag(_IMPORTED)],
        Discriminator(_origin),
    ]
    parameters: int
    scaler: Scaler | None
    vocabulary: str | None
    held_out: HeldOut
    training: TrainingRecord | None
    versions: Versions
    weights: Weights

    @model_validator(mode="after")
    def _parts_fit(self) -> "Checkpoint":
        config = self.config
        check_parts(
            config.model,
            config.source,
            self.scaler,
            self.vocabulary,
            self.parameters,
            self.training,
        )
        check_task_data(config.model, self.held_out)
        return self

    @property
    def spread(self) -> tuple[float, ...] | None:
        """The standard deviation of the residuals of each target; None for text, or if unknown."""
        return self.training.spread if self.training else None

    @property
    def digest(self) -> str:
        """SHA-256 of the checkpoint, which is also its seal."""
        return sha256(canonical_json(self.model_dump(mode="json")))


def versions() -> dict[str, str]:
    """The versions that affect the content of checkpoints and bundles."""
    own = {"pipeline": __version__, "python": platform.python_version()}
    return own | {package: package_version(package) for package in ("torch", "onnx", "numpy")}
