"""The event files that TensorBoard reads, written while a training runs."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline.config import Config
from pipeline.contract.records import SeriesScores, TextScores
from pipeline.errors import UnavailableError
from pipeline.packages import how_to_install
from pipeline.storage import storage_errors
from pipeline.train.callback import Callback, Progress

RUNS = Path("runs")  # where TensorBoard's own documentation keeps them
_VERSION = "brain.Event:2"  # with it, the start of a session hides what was recorded after it


class TensorBoard(Callback):
    """Writes the losses and the scores of each model into a folder of its own under ``root``.

    ``loss/step`` is the loss of each step; ``loss/train`` and ``loss/validation`` are those of each
    epoch, as in the checkpoint. Each event is in the file as soon as its step is taken. A training
    that is resumed, or trained anew, writes another file, which TensorBoard joins to those before:
    it shows nothing twice. The format is that of TensorBoard's ``event.proto``.

    Raises:
        UnavailableError: TensorBoard is not installed.
    """

    def __init__(self, root: Path = RUNS) -> None:
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError as error:
            raise UnavailableError(
                f"tensorboard is not installed; run {how_to_install('tensorboard')}"
            ) from error
        self._event, self._writer = Event, RecordWriter
        self._root = self._file = root
        self._step = 0

    def begin(self, config: Config, step: int) -> None:
        """Start an event file, which replaces what earlier ones tell of later steps.

        Raises:
            StorageError: the file system refused; so do ``report`` and ``score``.
        """
        folder = self._root / config.name
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"events.out.tfevents.{time.time_ns()}"  # read in order of names
        self._step = step
        self._write(file_version=_VERSION)
        self._write(session_log={"status": "START"}, step=step + 1)

    def report(self, progress: Progress) -> None:
        """Record the loss of a step, or the losses of an epoch."""
        self._step = progress.step
        if progress.validation_loss is None:
            self._scalars({"loss/step": progress.loss})
        else:
            losses = {"loss/train": progress.loss, "loss/validation": progress.validation_loss}
            self._scalars(losses)

    def score(self, scores: SeriesScores | TextScores) -> None:
        """Record each number of ``scores`` at the last step."""
        self._scalars(dict(_numbers("scores", scores)))

    def _scalars(self, values: dict[str, float]) -> None:
        found = [{"tag": tag, "simple_value": value} for tag, value in values.items()]
        self._write(summary={"value": found}, step=self._step)

    def _write(self, **content: Any) -> None:
        event = self._event(wall_time=time.time(), **content)
        with storage_errors(self._file), self._file.open("ab", buffering=0) as file:
            self._writer(file).write(event.SerializeToString())


def _numbers(name: str, record: BaseModel) -> Iterator[tuple[str, float]]:
    """The fractions in ``record`` and the records within it; their names are paths."""
    for field, value in record:
        if isinstance(value, BaseModel):
            yield from _numbers(f"{name}/{field}", value)
        elif isinstance(value, float):
            yield f"{name}/{field}", value
