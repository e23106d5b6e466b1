"""Standard streams that are closed, full, or that nobody reads."""

import os
import sys
from contextlib import suppress


def fill_closed_streams() -> None:
    """Let the standard streams that are closed lead nowhere.

    Otherwise the next file that is opened gets their number, and what a library prints goes into
    it. Standard output refuses what is written to it, as a closed one does; standard error takes
    it, since nobody is there to be told.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)  # it gets the lowest that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def drop_unwritten() -> None:
    """Forget what a standard stream cannot be rid of; the interpreter would fail by it at its end.

    Python's own documentation advises this for a pipe that nobody reads.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
                stream.flush()
