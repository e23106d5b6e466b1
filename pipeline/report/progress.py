"""A progress bar with loss and remaining time, and a spinner for work without steps."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from pipeline.escaping import visible

if TYPE_CHECKING:
    from pipeline.train.callback import Progress


class TrainingBar:
    """The progress bar of one training."""

    def __init__(self, bars: Bars, name: str) -> None:
        self.bars = bars
        self.task = bars.add_task(visible(name), total=None, loss="")
        self.validation = ""

    def show(self, progress: "Progress") -> None:
        """Move the bar to the step of ``progress``, and show its losses."""
        if progress.validation_loss is not None:
            self.validation = f", validation {progress.validation_loss:.3g}"
        self.bars.update(
            self.task,
            completed=progress.step,
            total=progress.steps,
            loss=f"loss {progress.loss:.3g}{self.validation}",
        )


@contextmanager
def training_bar(console: Console, name: str) -> Iterator[TrainingBar]:
    """Show a progress bar on ``console`` while a training runs."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[loss]}"),
    )
    # A bar is shown only in a terminal.
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield TrainingBar(bars, name)


@contextmanager
def spinner(console: Console, line: str) -> Iterator[None]:
    """Show ``line`` with a spinner on ``console``, if that is a terminal."""
    with console.status(line) if console.is_terminal else nullcontext():
        yield
