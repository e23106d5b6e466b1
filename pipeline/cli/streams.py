"""Standard streams that are closed, full, or read by nobody."""

import os
import sys
from contextlib import suppress


def fill_closed_streams() -> None:
    """Open the null device in place of every standard stream that is closed.

    Otherwise the next file that is opened would get the number of the stream, and libraries would
    print into that file. Writing to the replaced standard output fails, as it does for a closed
    one; writing to standard error succeeds, since errors can be shown nowhere else.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)  # gets the lowest free number
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def drop_unwritten() -> None:
    """Discard buffered output that cannot be written, which would fail when the interpreter ends.

    The Python documentation advises this for SIGPIPE (https://docs.python.org/3/library/signal.html).
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
