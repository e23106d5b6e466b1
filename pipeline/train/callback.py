"""What follows a training: a callback is told how it goes, and can record it anywhere."""

from dataclasses import dataclass

from pipeline.config import Config
from pipeline.contract.records import SeriesScores, TextScores


@dataclass(frozen=True)
class Progress:
    """The progress after a step; ``validation_loss`` is set at the end of an epoch.

    There ``loss`` is the mean over the steps of the epoch. Steps are counted from 1.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    validation_loss: float | None = None


class Callback:
    """The base of callbacks, whose methods do nothing; override those that you need.

    One callback may follow several trainings, one after the other. For each, ``begin`` is called
    once, ``report`` after each step and again at the end of each epoch, and ``end`` once, also if
    the training is interrupted or fails. An error that a method raises ends the training. A
    callback that draws random numbers from PyTorch's own generator changes the training.
    """

    def begin(self, config: Config, step: int) -> None:
        """The training of ``config`` begins, or goes on, after ``step`` steps.

        Later steps that were reported before an interruption are repeated.
        """

    def report(self, progress: Progress) -> None:
        """A step was taken, or an epoch ended, which then has a validation loss."""

    def end(self) -> None:
        """No more is reported of this training."""

    def score(self, scores: SeriesScores | TextScores) -> None:
        """``pipeline train`` has scored the best weights of the training that ended last."""
