"""An unfinished training as one file, for ``--resume``."""

import json
from pathlib import Path

from safetensors.torch import save as save_safetensors

from pipeline.checkpoint.weights import parse_weights
from pipeline.config import Config
from pipeline.errors import MalformedError
from pipeline.reading import read_file
from pipeline.storage import write_file
from pipeline.train.loop import Snapshot

TRAINING_FILE = "training.safetensors"


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
