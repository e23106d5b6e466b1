"""Checkpoints written and read, and their weights put into a network."""

from contextlib import suppress
from pathlib import Path

from safetensors.torch import save as save_safetensors

from pipeline.checkpoint.record import (
    CHECKPOINT_FILE,
    Checkpoint,
    Weights,
    versions,
)
from pipeline.checkpoint.snapshot import TRAINING_FILE, load_snapshot
from pipeline.checkpoint.weights import allow_non_finite, network_from
from pipeline.config import Config, ImportedConfig
from pipeline.contract.held_out import HeldOut
from pipeline.contract.records import SeriesScores, TextScores, TrainingRecord
from pipeline.contract.weights import largest_file, weight_shapes
from pipeline.data import Series, Text
from pipeline.errors import IntegrityError, MalformedError, UnsafeError
from pipeline.model import Network
from pipeline.reading import read_inside
from pipeline.seal import read_record, sealed
from pipeline.storage import sha256, storage_errors, write_file
from pipeline.train.loop import Trainer


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
    path = folder / checkpoint.weights.file
    try:
        write_file(path, weights)
        write_file(folder / CHECKPOINT_FILE, sealed(checkpoint))
    except BaseException:
        with suppress(OSError):
            if not _is_named(folder, path.name):
                path.unlink()
        raise
    with storage_errors(folder):
        (folder / TRAINING_FILE).unlink(missing_ok=True)
        _drop_other_weights(folder, checkpoint)


def _is_named(folder: Path, name: str) -> bool:
    """Whether ``checkpoint.json`` in ``folder``, if there is one, holds the name of a file."""
    try:
        return name.encode() in (folder / CHECKPOINT_FILE).read_bytes()
    except FileNotFoundError:
        return False


def _drop_other_weights(folder: Path, checkpoint: Checkpoint) -> None:
    for path in folder.glob("weights-*.safetensors"):
        if path.name != checkpoint.weights.file:
            path.unlink()


def drop_remains(folder: Path, checkpoint: Checkpoint) -> None:
    """Remove what a run that was killed left beside ``checkpoint``, which is the one in ``folder``.

    That is weights of another, and the unfinished training that this one is the end of.

    Raises:
        StorageError: the file system refused.
    """
    with storage_errors(folder):
        _drop_other_weights(folder, checkpoint)
        if checkpoint.training and not isinstance(checkpoint.config, ImportedConfig):
            with suppress(MalformedError, IntegrityError):  # --resume will say so
                if load_snapshot(folder, checkpoint.config, checkpoint.training.data_sha256):
                    (folder / TRAINING_FILE).unlink()


def finished_checkpoint(folder: Path, config: Config, data_sha256: str) -> Checkpoint | None:
    """The checkpoint in ``folder`` if it is whole and of just this configuration and data."""
    try:
        checkpoint = read_checkpoint(folder)
        load_network(folder, checkpoint)
    except (MalformedError, IntegrityError, UnsafeError):
        return None
    data = checkpoint.training.data_sha256 if checkpoint.training else None
    return checkpoint if checkpoint.config == config and data == data_sha256 else None


def read_checkpoint(folder: Path) -> Checkpoint:
    """The checked content of ``checkpoint.json`` in ``folder``.

    Raises:
        MalformedError: it is missing or is not a checkpoint.
        IntegrityError: it was changed.
        UnsafeError: a link stands in its place.
        StorageError: it cannot be read.
    """
    return read_record(folder, CHECKPOINT_FILE, "a checkpoint", Checkpoint, "train it anew")


def load_network(folder: Path, checkpoint: Checkpoint) -> Network:
    """The network of ``checkpoint``, on the CPU, ready to use.

    Raises:
        MalformedError: the weights are truncated, not safetensors, or not those of this model.
        IntegrityError: the weights file is another one than was saved.
        UnsafeError: the weights file lies outside the folder, or a link stands in its place.
    """
    config, vocabulary = checkpoint.config, checkpoint.vocabulary
    name, path = checkpoint.weights.file, folder / checkpoint.weights.file
    largest = largest_file(weight_shapes(config.model, len(vocabulary or "")))
    data = read_inside(folder, name, "the weights file", largest)
    if sha256(data) != checkpoint.weights.sha256:
        raise IntegrityError(f"{path} is not the file that training wrote; train it anew")
    return network_from(
        data, path, config.model, checkpoint.scaler, vocabulary, allow_non_finite(config.source)
    )
