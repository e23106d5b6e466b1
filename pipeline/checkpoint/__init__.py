"""Checkpoints on disk, trained or imported: weights in safetensors, everything else in JSON.

    checkpoints/<name>/
      checkpoint.json            configuration, scores, digests; names its weights file
      weights-<digest>.safetensors
      training.safetensors       an unfinished training, for --resume

``checkpoint.json`` is replaced last, so the pair is always whole.
"""

from pipeline.checkpoint.record import (
    CHECKPOINT_FILE,
    Checkpoint,
    Weights,
    versions,
)
from pipeline.checkpoint.snapshot import TRAINING_FILE, load_snapshot, save_snapshot
from pipeline.checkpoint.store import (
    drop_remains,
    finished_checkpoint,
    load_network,
    make_checkpoint,
    read_checkpoint,
    save_checkpoint,
    write_checkpoint,
)
from pipeline.checkpoint.weights import (
    allow_non_finite,
    network_from,
    parse_weights,
    put_weights,
)

__all__ = [
    "CHECKPOINT_FILE",
    "TRAINING_FILE",
    "Checkpoint",
    "Weights",
    "allow_non_finite",
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
