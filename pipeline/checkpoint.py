"""Checkpoints on disk, trained or imported: weights in safetensors, everything else in JSON.

    checkpoints/<name>/
      checkpoint.json            configuration, scores, digests; names its weights file
      weights-<digest>.safetensors
      training.safetensors       an unfinished training, for --resume

``checkpoint.json`` is replaced last, so the pair is always whole.
"""

import json
import platform
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import onnx
import safetensors
import torch
from pydantic import Discriminator, Tag, ValidationError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from pipeline import __version__
from pipeline.config import (
    Config,
    ImportedConfig,
    ImportedSource,
    Record,
    Source,
    preset_order,
)
from pipeline.data import Series, Text
from pipeline.errors import IntegrityError, MalformedError, UnsafeError, UsageError, unknown
from pipeline.model import Network, Scaler
from pipeline.storage import (
    canonical_json,
    read_file,
    read_json,
    safe_path,
    sha256,
    storage_errors,
    write_file,
)
from pipeline.train.loop import Snapshot, Trainer
from pipeline.train.scores import SeriesScores, TextScores

CHECKPOINT_FILE = "checkpoint.json"
TRAINING_FILE = "training.safetensors"


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


_TRAINED, _IMPORTED = "trained", "imported"


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


def versions() -> dict[str, str]:
    """The versions that decide what a checkpoint or a bundle contains."""
    return {
        "pipeline": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "numpy": np.__version__,
    }


def save_checkpoint(
    folder: Path,
    trainer: Trainer,
    config: Config,
    data: Series | Text,
    scores: SeriesScores | TextScores,
) -> Checkpoint:
    """Write the best network of a finished training, and drop what resuming would have needed.

    Raises:
        StorageError: the file system refused; the previous checkpoint is still there.
    """
    assert trainer.precision is not None
    assert trainer.threads is not None
    held_out = (
        data.held_out
        if isinstance(data, Text)
        else tuple(tuple(map(float, row)) for row in data.held_out)
    )
    training = TrainingRecord(
        data_sha256=data.digest,
        seed=config.training.seed,
        epochs=trainer.epoch,
        best_epoch=trainer.best_epoch,
        precision=trainer.precision,
        threads=trainer.threads,
        device=trainer.device.type,
        history=tuple(trainer.history),
        scores=scores,
    )
    checkpoint, weights = make_checkpoint(trainer.best_network(), config, held_out, training)
    write_checkpoint(folder, checkpoint, weights)
    return checkpoint


def make_checkpoint(
    network: Network,
    config: Config | ImportedConfig,
    held_out: HeldOut,
    training: TrainingRecord | None = None,
) -> tuple[Checkpoint, bytes]:
    """A network with all that belongs to it, as ``checkpoint.json`` and a file of weights."""
    weights = save_safetensors(dict(network.state_dict()))
    digest = sha256(weights)
    checkpoint = Checkpoint(
        config=config,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        scaler=network.scaler,
        vocabulary=network.vocabulary,
        held_out=held_out,
        training=training,
        versions=versions(),
        weights=Weights(file=f"weights-{digest[:16]}.safetensors", sha256=digest),
    )
    return checkpoint, weights


def write_checkpoint(folder: Path, checkpoint: Checkpoint, weights: bytes) -> None:
    """Write a checkpoint in place of what ``folder`` held.

    Raises:
        StorageError: the file system refused; the previous checkpoint is still there.
    """
    write_file(folder / checkpoint.weights.file, weights)
    write_file(folder / CHECKPOINT_FILE, canonical_json(checkpoint.model_dump(mode="json")))
    with storage_errors(folder):
        for old in (*folder.glob("weights-*.safetensors"), folder / TRAINING_FILE):
            if old.name != checkpoint.weights.file:
                old.unlink(missing_ok=True)


def finished_checkpoint(folder: Path, config: Config, data_sha256: str) -> Checkpoint | None:
    """The checkpoint in ``folder`` if it is whole and of just this configuration and data."""
    try:
        checkpoint = read_checkpoint(folder)
        load_network(folder, checkpoint)
    except (MalformedError, IntegrityError, UnsafeError):
        return None
    data = checkpoint.training.data_sha256 if checkpoint.training else None
    return checkpoint if checkpoint.config == config and data == data_sha256 else None


def find_models(root: Path, file: str, names: tuple[str, ...], made_by: str) -> list[Path]:
    """The folders under ``root`` that hold ``file``: those of ``names``, or all of them.

    Raises:
        UsageError: there are none, or none of that name.
    """
    found = (path.parent.name for path in root.glob(f"[!.]*/{file}"))
    known = sorted(found, key=preset_order)
    if not known:
        raise UsageError(f"{root} holds no model; run 'pipeline {made_by}' first")
    for name in names:
        if name not in known:
            raise unknown(f"model in {root}", name, known)
    return [root / name for name in names or known]


def read_checkpoint(folder: Path) -> Checkpoint:
    """The checked content of ``checkpoint.json`` in ``folder``.

    Raises:
        MalformedError: it is missing or is not a checkpoint.
        StorageError: it cannot be read.
    """
    path = folder / CHECKPOINT_FILE
    content = read_json(path, "the checkpoint")
    try:
        return Checkpoint.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        parts = [str(part) for part in first["loc"] if part not in (_TRAINED, _IMPORTED)]
        place = ".".join(parts) or "the top"
        raise MalformedError(
            f"{path} is not a checkpoint: {first['msg']} at {place}; train it anew"
        ) from error


def load_network(folder: Path, checkpoint: Checkpoint) -> Network:
    """The network of ``checkpoint``, on the CPU, ready to use.

    Raises:
        MalformedError: the weights are truncated, not safetensors, or not those of this model.
        IntegrityError: the weights file is another one than was saved.
        UnsafeError: the weights file lies outside the folder.
    """
    path = folder / safe_path(checkpoint.weights.file)
    data = read_file(path, "the weights file")
    tensors = parse_weights(data, path)
    if sha256(data) != checkpoint.weights.sha256:
        raise IntegrityError(f"{path} is not the file that training wrote; train it anew")
    network = Network(
        checkpoint.config.model, scaler=checkpoint.scaler, vocabulary=checkpoint.vocabulary
    )
    return put_weights(network, tensors, path, allow_non_finite(checkpoint.config.source))


def parse_weights(data: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        MalformedError: it is truncated or not safetensors.
    """
    try:
        return load_safetensors(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise MalformedError(
            f"{path} is truncated or not safetensors ({error}); make it anew"
        ) from error


def allow_non_finite(source: Source | ImportedSource) -> bool:
    """Whether a model of ``source`` may have weights that are NaN or infinite."""
    return isinstance(source, ImportedSource) and source.non_finite


def put_weights(
    network: Network, tensors: dict[str, Tensor], path: Path, non_finite: bool = False
) -> Network:
    """``network`` with exactly ``tensors``; ``non_finite`` lets NaN and infinity pass.

    Raises:
        MalformedError: names or shapes differ (all are listed), or a weight is not finite.
    """
    own = network.state_dict()
    expected = {name: tuple(tensor.shape) for name, tensor in own.items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    faults = [f"missing {name}" for name in expected.keys() - found.keys()]
    faults += [f"unexpected {name}" for name in found.keys() - expected.keys()]
    faults += [
        f"{name} is {list(found[name])}, not {list(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    faults += [
        f"{name} is {tensors[name].dtype}, not {own[name].dtype}"
        for name in own.keys() & tensors.keys()
        if tensors[name].dtype != own[name].dtype
    ]
    faults += [
        f"{name} is not finite"
        for name, tensor in tensors.items()
        if not non_finite and not tensor.isfinite().all()
    ]
    if faults:
        raise MalformedError(f"{path} does not fit its model: {'; '.join(sorted(faults))}")
    network.load_state_dict(tensors)
    return network.eval()


def save_snapshot(folder: Path, snapshot: Snapshot, config: Config, data_sha256: str) -> None:
    """Write an unfinished training as one file.

    Raises:
        StorageError: the file system refused; the previous snapshot is still there.
    """
    facts = {
        "config": config.model_dump(mode="json"),
        "data_sha256": data_sha256,
        "epoch": snapshot.epoch,
        "best_loss": snapshot.best_loss,
        "best_epoch": snapshot.best_epoch,
        "seconds": snapshot.seconds,
        "precision": snapshot.precision,
        "threads": snapshot.threads,
        "history": snapshot.history,
    }
    write_file(
        folder / TRAINING_FILE,
        save_safetensors(snapshot.tensors, metadata={"training": json.dumps(facts)}),
    )


def load_snapshot(folder: Path, config: Config, data_sha256: str) -> Snapshot | None:
    """The unfinished training in ``folder``, if there is one of this configuration and data.

    Raises:
        MalformedError: there is one, and it cannot be read.
    """
    path = folder / TRAINING_FILE
    if not path.exists():
        return None
    data = read_file(path, "the unfinished training")
    tensors = parse_weights(data, path)
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        facts = json.loads(header["__metadata__"]["training"])
        same = facts.pop("config") == config.model_dump(mode="json")
        if facts.pop("data_sha256") != data_sha256 or not same:
            return None
        return Snapshot(tensors=tensors, **facts)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise MalformedError(
            f"{path} is not an unfinished training; train without --resume"
        ) from error
