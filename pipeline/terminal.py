"""The width of a terminal, and lines of text that are wrapped to it."""

import os
import re
import sys
from typing import IO

_PIPE = 140  # columns in a file or a pipe, if the environment variable COLUMNS sets no others
_TERMINAL = 80  # columns of a terminal that does not say how wide it is


def columns(stream: IO[str]) -> int:
    """The columns that ``stream`` is shown in, or those that ``COLUMNS`` sets."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    if not stream.isatty():
        return _PIPE
    try:
        return os.get_terminal_size(stream.fileno()).columns or _TERMINAL
    except (OSError, ValueError):  # a stream that is no file
        return _TERMINAL


def words(text: str) -> list[str]:
    """The parts of ``text`` that a line may be broken between: a number stays with its ``%``."""
    return re.split(" (?!%)", text)


def wrapped(text: str, width: int, indent: str = "", hanging: str = "  ") -> list[str]:
    """``text`` as lines of at most ``width`` columns, broken at spaces alone.

    The first line begins with ``indent`` and the others with ``hanging``. A word that is longer
    than a line, such as a long name, is not broken.
    """
    from rich.cells import cell_len

    lines, line = [], indent
    for word in words(text):
        begun = line.strip() != ""
        if begun and cell_len(f"{line} {word}") > width:
            lines.append(line)
            line, begun = hanging, False
        line = f"{line} {word}" if begun else line + word
    return [*lines, line]


def shown(message: str, end: str = "") -> str:
    """A line of standard error, which is wrapped in a terminal, with ``end`` at each break."""
    if not sys.stderr.isatty():
        return message
    return f"{end}\n".join(wrapped(message, columns(sys.stderr) - len(end)))
