"""The content of ``checkpoint.json``."""

import platform
from typing import Annotated, Any, Literal

import numpy as np
import onnx
import torch
from pydantic import Discriminator, Tag

from pipeline import __version__
from pipeline.config import Config, ImportedConfig, Record
from pipeline.model import Scaler
from pipeline.train.scores import SeriesScores, TextScores

CHECKPOINT_FILE = "checkpoint.json"

HeldOut = str | tuple[tuple[float, ...], ...]  # text, or rows of features


class Weights(Record):
    """The weights file of a checkpoint."""

    file: str
    sha256: str


class TrainingRecord(Record):
    """How the weights were found and how good they are."""

    data_sha256: str
    seed: int
    epochs: int
    best_epoch: int
    precision: Literal["float32", "bfloat16"]
    threads: int
    device: str
    history: tuple[dict[str, float], ...]
    scores: SeriesScores | TextScores


def _origin(config: Any) -> str:
    """``trained`` or ``imported``, of a configuration or of the JSON of one."""
    source = config.get("source") if isinstance(config, dict) else getattr(config, "source", None)
    kind = source.get("kind") if isinstance(source, dict) else getattr(source, "kind", None)
    return _IMPORTED if kind == "imported" else _TRAINED


ORIGINS = _TRAINED, _IMPORTED = "trained", "imported"


class Checkpoint(Record):
    """The content of ``checkpoint.json``; an imported one has no ``training``.

    ``held_out`` are inputs that training never saw, or inputs made up for an imported one.
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
    versions: dict[str, str]
    weights: Weights

    @property
    def spread(self) -> tuple[float, ...] | None:
        """Standard deviation of the residuals of each target; None for text, or where unknown."""
        scores = self.training.scores if self.training else None
        return scores.residual_std if isinstance(scores, SeriesScores) else None


def versions() -> dict[str, str]:
    """The versions that decide what a checkpoint or a bundle contains."""
    return {
        "pipeline": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "numpy": np.__version__,
    }
