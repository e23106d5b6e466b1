"""Checkpoints on disk, trained or imported: weights in safetensors, everything else in JSON.

    checkpoints/<name>/
      checkpoint.json            configuration, scores, digests, and the name of the weights file
      weights-<digest>.safetensors
      training.safetensors       an unfinished training, for --resume

``checkpoint.json`` is written last, so it always names a complete weights file.
"""

from typing import TYPE_CHECKING

from pipeline.checkpoint.record import CHECKPOINT_FILE, Checkpoint, Weights, versions
from pipeline.checkpoint.store import (
    TRAINING_FILE,
    check_weights,
    drop_remains,
    finished_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from pipeline.later import later

if TYPE_CHECKING:
    from pipeline.checkpoint.network import load_network, make_checkpoint, save_checkpoint
    from pipeline.checkpoint.snapshot import load_snapshot, save_snapshot
    from pipeline.checkpoint.weights import (
        allow_non_finite,
        network_from,
        parse_weights,
        put_weights,
    )
else:
    __getattr__ = later(
        __name__,
        {
            "network": ("load_network", "make_checkpoint", "save_checkpoint"),
            "snapshot": ("load_snapshot", "save_snapshot"),
            "weights": ("allow_non_finite", "network_from", "parse_weights", "put_weights"),
        },
    )

__all__ = [
    "CHECKPOINT_FILE",
    "TRAINING_FILE",
    "Checkpoint",
    "Weights",
    "allow_non_finite",
    "check_weights",
    "drop_remains",
    "finished_checkpoint",
    "load_network",
    "load_snapshot",
    "make_checkpoint",
    "network_from",
    "parse_weights",
    "put_weights",
    "read_checkpoint",
    "save_checkpoint",
    "save_snapshot",
    "versions",
    "write_checkpoint",
]
