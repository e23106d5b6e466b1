"""Conversion between networks and checkpoints."""

from pathlib import Path

from safetensors.torch import save as save_safetensors

from pipeline.checkpoint.record import Checkpoint, Weights, versions
from pipeline.checkpoint.store import check_weights, write_checkpoint
from pipeline.checkpoint.weights import allow_non_finite, network_from
from pipeline.config import Config, ImportedConfig
from pipeline.contract.held_out import HeldOut
from pipeline.contract.records import SeriesScores, TextScores, TrainingRecord
from pipeline.data import Series, Text
from pipeline.model import Network
from pipeline.storage import sha256
from pipeline.train.trainer import Trainer


def save_checkpoint(
    folder: Path,
    trainer: Trainer,
    config: Config,
    data: Series | Text,
    scores: SeriesScores | TextScores,
) -> Checkpoint:
    """Write the best network of a finished training, and remove the snapshot for resuming.

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
    """The content of ``checkpoint.json`` and the weights file for ``network``."""
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


def load_network(folder: Path, checkpoint: Checkpoint) -> Network:
    """The network of ``checkpoint``, on the CPU, in evaluation mode; raises as
    :func:`check_weights`."""
    config, path = checkpoint.config, folder / checkpoint.weights.file
    return network_from(
        check_weights(folder, checkpoint),
        path,
        config.model,
        checkpoint.scaler,
        checkpoint.vocabulary,
        allow_non_finite(config.source),
    )
