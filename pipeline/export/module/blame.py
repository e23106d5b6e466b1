"""The line of the user's own code that an error comes from."""

import os
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

_LIBRARIES = {"numpy", "onnx", "onnx_ir", "onnxscript", "pipeline", "torch"}
_STANDARD = Path(sysconfig.get_path("stdlib")).resolve()
_INSTALLED = {"site-packages", "dist-packages"}


def user_line(error: BaseException) -> str:
    """File and line, as ``mynet.py:12``, of the innermost frame that is the user's.

    That is a frame in neither torch, this package and their libraries nor Python itself. An error
    that has none is judged by the error that caused it. Empty where no frame is the user's.
    """
    for cause in _chain(error):
        line = ""
        for frame, number in traceback.walk_tb(cause.__traceback__):
            if _is_the_users(frame):
                line = f"{os.path.basename(frame.f_code.co_filename)}:{number}"
        if line:
            return line
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and so on."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _is_the_users(frame: FrameType) -> bool:
    name, module = frame.f_code.co_filename, str(frame.f_globals.get("__name__", ""))
    if name.startswith("<") and module != "__main__":  # code that a library made
        return False
    if module.split(".")[0] in _LIBRARIES:
        return False
    path = Path(name).resolve()
    return not path.is_relative_to(_STANDARD) or not _INSTALLED.isdisjoint(path.parts)
