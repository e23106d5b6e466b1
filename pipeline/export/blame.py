"""The line of the user's own code in which an error arose."""

import traceback
from collections.abc import Iterator
from pathlib import Path

from pipeline.export.rewrite import is_authors


def user_line(error: BaseException) -> str:
    """File and line of the innermost frame of the user's code, as ``mynet.py:12``; or nothing.

    The errors that caused ``error`` are looked at first.
    """
    for one in reversed(list(_chain(error))):
        for frame in reversed(traceback.extract_tb(one.__traceback__)):
            if is_authors(frame.filename):
                return f"{Path(frame.filename).name}:{frame.lineno}"
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
