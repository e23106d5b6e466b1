"""An unfinished training as one file, for ``--resume``.

The file is safetensors with two entries of metadata: ``training``, a JSON object, and ``sha256``,
the digest of the whole file with 64 zeros in place of that digest.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator
from safetensors.torch import save as save_safetensors

from pipeline.checkpoint.store import TRAINING_FILE
from pipeline.checkpoint.weights import parse_weights
from pipeline.config import Config
from pipeline.errors import IntegrityError, MalformedError
from pipeline.reading import JSON_LIMIT, read_inside
from pipeline.storage import write_file
from pipeline.train.position import Position
from pipeline.train.trainer import Snapshot

_DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')
_ZEROS = b"0" * 64


class _Content(Position):
    """The JSON of a snapshot: its position, the configuration, and the digest of the data."""

    format: Literal[2] = 2
    config: dict[str, Any]
    data_sha256: str

    @model_validator(mode="after")
    def _agree(self) -> "_Content":
        losses = [epoch.validation_loss for epoch in self.history]
        best = losses.index(min(losses)) + 1 if losses else 0
        if (self.epoch, self.best_epoch) != (len(losses), best):
            raise ValueError("the epochs are not those of the history")
        if self.epoch > self.config["training"]["epochs"]:
            raise ValueError("there are more epochs than the configuration asks for")
        return self


def save_snapshot(folder: Path, snapshot: Snapshot, config: Config, data_sha256: str) -> None:
    """Write an unfinished training as one file.

    Raises:
        StorageError: the file system refused; the previous snapshot is still there.
    """
    facts = _Content(
        config=config.model_dump(mode="json"),
        data_sha256=data_sha256,
        **snapshot.position.model_dump(),
    )
    metadata = {"sha256": _ZEROS.decode(), "training": facts.model_dump_json()}
    data = save_safetensors(snapshot.tensors, metadata)
    (place,) = _places(data)
    sealed = data[: place.start] + _digest(data, place) + data[place.stop :]
    write_file(folder / TRAINING_FILE, sealed)


def load_snapshot(
    folder: Path, config: Config, data_sha256: str, parameters: int
) -> Snapshot | None:
    """The unfinished training in ``folder``; None unless it is of this configuration and data.

    The number of ``parameters`` limits the size of the file that is read.

    Raises:
        MalformedError: the file is no snapshot, too large, or of an earlier version.
        IntegrityError: the file was changed after it was written.
        UnsafeError: the file is a link.
        StorageError: the file cannot be read.
    """
    path = folder / TRAINING_FILE
    if not path.exists():
        return None
    data = read_inside(
        folder, TRAINING_FILE, "the unfinished training", _longest(config, parameters)
    )
    places = _places(data)
    if len(places) != 1:
        raise MalformedError(
            f"{path} is not an unfinished training of this version; train without --resume"
        )
    if _digest(data, places[0]) != data[places[0]]:
        raise IntegrityError(f"{path} is not what training wrote; train without --resume")
    tensors = parse_weights(data, path)
    try:
        training = json.loads(_header(data))["__metadata__"]["training"]
        facts = _Content.model_validate_json(training, strict=True)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise MalformedError(
            f"{path} is not an unfinished training; train without --resume"
        ) from error
    if facts.config != config.model_dump(mode="json") or facts.data_sha256 != data_sha256:
        return None
    return Snapshot(tensors, Position(**facts.model_dump(include=set(Position.model_fields))))


def _longest(config: Config, parameters: int) -> int:
    """The largest size in bytes of the file of an unfinished training."""
    model = config.model
    state = config.training.batch_size * 2 * model.num_layers * model.hidden_size
    # The present and the best weights, and three numbers of AdamW for each: two moments, the step.
    return JSON_LIMIT + 4 * (5 * parameters + state)


def _header(data: bytes) -> bytes:
    """The JSON header of a safetensors file, which follows its length in 8 bytes."""
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def _places(data: bytes) -> list[slice]:
    """The places of digests in the header of a safetensors file."""
    spans = (found.span(1) for found in _DIGEST.finditer(_header(data)))
    return [slice(8 + start, 8 + end) for start, end in spans]


def _digest(data: bytes, place: slice) -> bytes:
    """SHA-256 of ``data`` with zeros in the ``place`` of the digest, in hexadecimal."""
    digest = hashlib.sha256(data[: place.start] + _ZEROS)
    digest.update(memoryview(data)[place.stop :])
    return digest.hexdigest().encode()
