"""Printing: results go to standard output, as tables or JSON; messages go to standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.status import Status
from rich.text import Text

from pipeline.escaping import json_text, prose, visible
from pipeline.report.grid import Grid
from pipeline.terminal import columns, shown


def literal(text: str) -> Text:
    """``text`` as a rich Text, for parts of rich that would read a string as markup."""
    return Text(visible(text))


class PlainConsole(Console):
    """A console that prints strings literally, with hidden characters made visible.

    In a file or a pipe there is room for wide tables, unless ``COLUMNS`` says otherwise.
    """

    def __init__(self, stderr: bool) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)
        self.width = columns(self.file)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make hidden characters visible, then render as :class:`rich.console.Console` does."""
        return super().render_str(visible(text), **options)

    def status(self, status: Any, **options: Any) -> Status:
        """Show a status line as :class:`rich.console.Console` does, but without markup."""
        return super().status(literal(status), **options)


def console(stderr: bool = True) -> PlainConsole:
    """The console for progress (standard error) or for tables (standard output)."""
    return PlainConsole(stderr)


def say(line: str, end: str = "") -> None:
    """Print one line on standard error; if it cannot be written, nothing is raised.

    A terminal gets it wrapped between words, with ``end`` at each break.
    """
    try:
        click.echo(shown(visible(line), end), err=True)
    except BrokenPipeError:
        raise  # the reader has gone, so main() ends the process
    except OSError:
        pass


def show(tables: Iterable[Grid]) -> None:
    """Print ``tables`` on standard output, with an empty line between two of them."""
    out = console(stderr=False)
    for number, table in enumerate(tables):
        if number:
            out.print()
        out.print(table, crop=False)


def write(text: str) -> None:
    """Print text of a model on standard output; in a terminal, hidden characters are escaped."""
    safe = prose(text) if sys.stdout.isatty() else text
    click.echo(safe, nl=False, color=True)  # otherwise click strips escape codes in a pipe


def finish(
    as_json: bool,
    content: Any,
    tables: Iterable[Grid],
    next_commands: str | Sequence[str] = (),
    notes: Iterable[str] = (),
) -> None:
    """Print the results of a command as tables with notes and what to type next, or as JSON."""
    if as_json:
        click.echo(json_text(json.dumps(content, ensure_ascii=False, indent=2)))
        return
    show(tables)
    for note in notes:
        say(note)
    commands = [next_commands] if isinstance(next_commands, str) else next_commands
    for number, command in enumerate(filter(None, commands)):
        say(f"{'then' if number else 'next'}: {command}", end=" \\")
