"""Writing and reading checkpoints, without PyTorch."""

from contextlib import suppress
from pathlib import Path

from pipeline.checkpoint.record import CHECKPOINT_FILE, Checkpoint
from pipeline.config import Config, ImportedConfig
from pipeline.contract.weights import check_header, largest_file, parameters, weight_shapes
from pipeline.errors import IntegrityError, MalformedError, UnsafeError
from pipeline.reading import read_inside
from pipeline.seal import read_record, sealed
from pipeline.storage import sha256, storage_errors, write_file

TRAINING_FILE = "training.safetensors"


def write_checkpoint(folder: Path, checkpoint: Checkpoint, weights: bytes) -> None:
    """Write a checkpoint to ``folder``, replacing the previous one.

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
    """Whether ``checkpoint.json`` in ``folder`` exists and contains the name of a file."""
    try:
        return name.encode() in (folder / CHECKPOINT_FILE).read_bytes()
    except FileNotFoundError:
        return False


def _drop_other_weights(folder: Path, checkpoint: Checkpoint) -> None:
    for path in folder.glob("weights-*.safetensors"):
        if path.name != checkpoint.weights.file:
            path.unlink()


def drop_remains(folder: Path, checkpoint: Checkpoint) -> None:
    """Remove what a killed run left beside ``checkpoint``, which is the one in ``folder``.

    That is other weights files, and the snapshot of the training that ``checkpoint`` finished.

    Raises:
        StorageError: the file system refused.
    """
    with storage_errors(folder):
        _drop_other_weights(folder, checkpoint)
        if not (folder / TRAINING_FILE).exists():
            return
        from pipeline.checkpoint.snapshot import load_snapshot

        if checkpoint.training and not isinstance(checkpoint.config, ImportedConfig):
            data = checkpoint.training.data_sha256
            with suppress(MalformedError, IntegrityError, UnsafeError):  # --resume reports these
                if load_snapshot(folder, checkpoint.config, data, checkpoint.parameters):
                    (folder / TRAINING_FILE).unlink()


def finished_checkpoint(folder: Path, config: Config, data_sha256: str) -> Checkpoint | None:
    """The checkpoint in ``folder``; None unless it is whole and of this configuration and data."""
    try:
        checkpoint = read_checkpoint(folder)
        check_weights(folder, checkpoint)
    except (MalformedError, IntegrityError, UnsafeError):
        return None
    data = checkpoint.training.data_sha256 if checkpoint.training else None
    return checkpoint if checkpoint.config == config and data == data_sha256 else None


def read_checkpoint(folder: Path) -> Checkpoint:
    """The checked content of ``checkpoint.json`` in ``folder``.

    Raises:
        MalformedError: the file is missing or is not a checkpoint.
        IntegrityError: the file was changed.
        UnsafeError: the file is a link.
        StorageError: the file cannot be read.
    """
    return read_record(folder, CHECKPOINT_FILE, "a checkpoint", Checkpoint, "train it anew")


def check_weights(folder: Path, checkpoint: Checkpoint) -> bytes:
    """The bytes of the weights file of ``checkpoint``, after checking its digest and shapes.

    Raises:
        MalformedError: the weights are truncated, not safetensors, or not those of this model.
        IntegrityError: the weights file was changed.
        UnsafeError: the weights file lies outside the folder, or is a link.
    """
    name, path = checkpoint.weights.file, folder / checkpoint.weights.file
    shapes = weight_shapes(checkpoint.config.model, len(checkpoint.vocabulary or ""))
    data = read_inside(folder, name, "the weights file", largest_file(parameters(shapes)))
    if sha256(data) != checkpoint.weights.sha256:
        raise IntegrityError(f"{path} is not the file that training wrote; train it anew")
    check_header(data, shapes, path)
    return data
