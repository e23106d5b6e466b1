"""Where results go: JSON to standard output for machines, tables there for people.

Messages and progress always go to standard error.
"""

import json
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console
from rich.table import Table

_PIPE_WIDTH = 140  # columns; a pipe has no width of its own


def console(stderr: bool = True) -> Console:
    """A console that does not squeeze tables when its output goes to a file or a pipe."""
    made = Console(stderr=stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=_PIPE_WIDTH)


def say(line: str) -> None:
    """One line for people; where it cannot be written, the work goes on."""
    try:
        click.echo(line, err=True)
    except BrokenPipeError:
        raise  # nobody reads on
    except OSError:
        pass


def finish(
    as_json: bool,
    content: Any,
    tables: Iterable[Table],
    next_command: str = "",
    notes: Iterable[str] = (),
) -> None:
    """Print the results of a command, notes on them, and the command to type next."""
    if as_json:
        click.echo(json.dumps(content, ensure_ascii=False, indent=2))
        return
    out = console(stderr=False)
    for table in tables:
        out.print(table)
    for note in notes:
        say(note)
    if next_command:
        say(f"next: {next_command}")
