"""The moments at which a command changes its folder, counted, and made the end of it.

Python tells of every file that is opened, renamed or removed before it happens (PEP 578). A hook in
a fork counts these, kills the process at one of them, or lets it fail as a full disk would.
"""

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink"}
_TAKES_SPACE = {"open", "os.mkdir", "os.rename"}


def _changes(event: str, arguments: tuple[Any, ...], root: str) -> bool:
    """Whether ``event`` changes something below ``root``."""
    if event == "open":
        path, _, flags = arguments
        if not isinstance(flags, int) or not flags & _WRITING:
            return False
    elif event in _CHANGES:
        path = arguments[0]
    else:
        return False
    if not isinstance(path, str | bytes | os.PathLike):
        return event in _CHANGES  # a descriptor of a folder that is being removed
    return os.path.abspath(os.fsdecode(path)).startswith(root)


def _hook(root: Path, happen: Callable[[str, tuple[Any, ...]], None]) -> None:
    prefix = f"{root}{os.sep}"

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if _changes(event, arguments, prefix):
            happen(event, arguments)

    sys.addaudithook(hook)


def counting(root: Path, tally: int) -> Callable[[], None]:
    """For ``prepare`` of a fork: one byte to the descriptor ``tally`` for each change."""

    def happen(event: str, arguments: tuple[Any, ...]) -> None:
        os.write(tally, b".")

    return lambda: _hook(root, happen)


def killing(root: Path, number: int) -> Callable[[], None]:
    """For ``prepare`` of a fork: kill -9 just before change ``number``, counted from 0."""
    left = [number]

    def happen(event: str, arguments: tuple[Any, ...]) -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    return lambda: _hook(root, happen)


def killing_at_rename(root: Path, name: str, number: int) -> Callable[[], None]:
    """For ``prepare`` of a fork: kill -9 just before ``name`` is renamed into place again."""
    left = [number]

    def happen(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and os.path.basename(os.fsdecode(arguments[1])) == name:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

    return lambda: _hook(root, happen)


def failing(root: Path, number: int) -> Callable[[], None]:
    """For ``prepare`` of a fork: no space is left at change ``number`` that would take some."""
    left = [number]

    def happen(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _TAKES_SPACE:
            left[0] -= 1
            if left[0] == -1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return lambda: _hook(root, happen)
