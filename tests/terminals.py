"""What commands and tables look like in a terminal of a given width, and in a pipe."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

from command_line import ROOT
from rich.cells import cell_len
from rich.console import Console

from pipeline.report.grid import Grid

WIDTHS = [60, 80, 120]
WIDE = 400
# Runs every command in one process; what each prints is parted by a line.
PROGRAM = """
import json, sys
from pipeline.cli import main
for command in json.loads(sys.argv[1]):
    sys.argv = ["pipeline", *command]
    try:
        main()
    except SystemExit as end:
        print("exit", end.code)
    sys.stdout.flush()
"""


def words(text: str) -> set[str]:
    """The names and numbers in ``text``, without the punctuation around them."""
    return {word.strip(",.;:'()") for word in re.findall(r"[^\s│─━┼╭╮╰╯\\]+", text)}


def overlong(text: str, width: int) -> list[str]:
    """The lines of ``text`` that are wider than ``width``."""
    return [line for line in text.splitlines() if cell_len(line) > width]


def together(commands: Sequence[Sequence[str]]) -> list[str]:
    return [sys.executable, "-c", PROGRAM, json.dumps(commands)]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    ours = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", "TERM": "xterm"}
    return kept | ours | more


def in_terminal(
    commands: Sequence[Sequence[str]], folder: Path, width: int, **variables: str
) -> str:
    """What ``commands`` print in a pseudo-terminal of ``width`` columns, as it stands at the end.

    ``variables`` are those of the environment.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    child = subprocess.Popen(
        together(commands),
        cwd=folder,
        env=environment(**variables),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    data = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # which Linux raises when the last process has closed the terminal
            break
        if not part:
            break
        data += part
    child.wait()
    os.close(ours)
    return screen(data.decode())


def screen(text: str) -> str:
    """What stands in a terminal without an end on the right after ``text`` was written to it.

    Of the control sequences, those that move to a line above and those that clear a line count.
    """
    lines, row, column = [""], 0, 0
    for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|[\r\n])", text):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif not part.startswith("\x1b"):
            before = lines[row][:column].ljust(column)
            lines[row] = before + part + lines[row][column + len(part) :]
            column += len(part)
        elif part.endswith("A"):
            row = max(row - int(part[2:-1] or 1), 0)
        elif part.endswith("2K"):
            lines[row] = ""
    return "\n".join(lines)


def in_pipe(commands: Sequence[Sequence[str]], folder: Path, width: int) -> str:
    """What ``commands`` print into a pipe with ``COLUMNS`` set to ``width``: output, not errors."""
    done = subprocess.run(
        together(commands),
        cwd=folder,
        capture_output=True,
        env=environment(COLUMNS=str(width)),
        encoding="utf-8",
        check=False,
    )
    return done.stdout


def printed(grid: Grid, width: int) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(grid, crop=False)
    return captured.get()
