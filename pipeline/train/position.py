"""Where a training stands: what its progress is in numbers, without the tensors."""

import math
from typing import Annotated

from pydantic import Field

from pipeline.config import Record
from pipeline.train.step import TrainingPrecision

Loss = Annotated[float, Field(ge=0)]


class EpochLosses(Record):
    """The losses of a finished epoch."""

    train_loss: Loss
    validation_loss: Loss


class Position(Record):
    """Where a training stands, after a step or at the end of an epoch.

    ``epoch`` epochs are finished, and ``step`` steps of the next one, whose losses sum to
    ``total``. The precision and the number of threads were chosen when it began.
    """

    epoch: int = Field(ge=0)
    step: int = Field(ge=0)
    total: Loss
    best_epoch: int = Field(ge=0)
    seconds: float = Field(ge=0)
    precision: TrainingPrecision
    threads: int = Field(ge=1, le=1024)
    history: tuple[EpochLosses, ...]

    @property
    def best_loss(self) -> float:
        """The lowest validation loss, infinite before the first one."""
        return min((epoch.validation_loss for epoch in self.history), default=math.inf)
