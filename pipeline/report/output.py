"""Where results go: JSON to standard output for machines, tables there for people.

Messages and progress always go to standard error.
"""

import json
import sys
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from pipeline.escaping import json_text, prose, visible

_PIPE_WIDTH = 140  # columns; a pipe has no width of its own


def literal(text: str) -> Text:
    """``text`` for those parts of rich that take a string for markup."""
    return Text(visible(text))


class PlainConsole(Console):
    """Strings as they are: no markup or names of emoji in them, and what is hidden is shown.

    Tables go into a file or a pipe as wide as they are, not squeezed.
    """

    def __init__(self, stderr: bool) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)
        if not self.is_terminal:
            self.width = _PIPE_WIDTH

    def render_str(self, text: str, **options: Any) -> Text:
        """As :class:`rich.console.Console` has it; all strings come through here."""
        return super().render_str(visible(text), **options)

    def status(self, status: Any, **options: Any) -> Status:
        """As :class:`rich.console.Console` has it, which takes a string for markup."""
        return super().status(literal(status), **options)


def console(stderr: bool = True) -> PlainConsole:
    """Where tables and progress go."""
    return PlainConsole(stderr)


def say(line: str) -> None:
    """One line for people; where it cannot be written, the work goes on."""
    try:
        click.echo(visible(line), err=True)
    except BrokenPipeError:
        raise  # nobody reads on
    except OSError:
        pass


def write(text: str) -> None:
    """Text of a model, on standard output: as it is, but a terminal gets no control characters."""
    shown = prose(text) if sys.stdout.isatty() else text
    click.echo(shown, nl=False, color=True)  # else click takes escape codes out of a pipe


def finish(
    as_json: bool,
    content: Any,
    tables: Iterable[Table],
    next_command: str = "",
    notes: Iterable[str] = (),
) -> None:
    """Print the results of a command, notes on them, and the command to type next."""
    if as_json:
        click.echo(json_text(json.dumps(content, ensure_ascii=False, indent=2)))
        return
    out = console(stderr=False)
    for table in tables:
        out.print(table)
    for note in notes:
        say(note)
    if next_command:
        say(f"next: {next_command}")
