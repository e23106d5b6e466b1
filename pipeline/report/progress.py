"""A progress bar with loss and remaining time, and a spinner for work without steps."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from pipeline.escaping import visible
from pipeline.terminal import wrapped

if TYPE_CHECKING:
    from pipeline.train.callback import Progress


class _TwoLines(Bars):
    """Bars below a line of text, since both do not fit beside each other in every terminal."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """What each task says of itself, and below it how far it is."""
        for task in self.tasks:
            yield Text("\n".join(wrapped(task.description, self.console.width)))
            yield self.make_tasks_table([task])


class TrainingBar:
    """The progress bar of one training."""

    def __init__(self, bars: Bars, name: str) -> None:
        self.bars, self.name = bars, visible(name)
        self.task = bars.add_task(self.name, total=None)
        self.validation = ""

    def show(self, progress: "Progress") -> None:
        """Move the bar to the step of ``progress``, and show its losses."""
        if progress.validation_loss is not None:
            self.validation = f", validation {progress.validation_loss:.3g}"
        self.bars.update(
            self.task,
            completed=progress.step,
            total=progress.steps,
            description=f"{self.name}: loss {progress.loss:.3g}{self.validation}",
        )


@contextmanager
def training_bar(console: Console, name: str) -> Iterator[TrainingBar]:
    """Show a progress bar on ``console`` while a training runs."""
    columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(elapsed_when_finished=True)
    # A bar is shown only in a terminal.
    shown = console.is_terminal
    with _TwoLines(*columns, console=console, transient=True, disable=not shown) as bars:
        yield TrainingBar(bars, name)


@contextmanager
def spinner(console: Console, line: str) -> Iterator[None]:
    """Show ``line`` with a spinner on ``console``, if that is a terminal."""
    with console.status(line) if console.is_terminal else nullcontext():
        yield
