"""The line of a module's author at which an export fails."""

import re
import sysconfig
import traceback
from pathlib import Path

import torch

_HERE = str(Path(__file__).parents[1])
_TORCH = str(Path(torch.__file__).parent)
_PYTHON = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
_PACKAGES = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))


def is_authors(file: str) -> bool:
    """Whether a file holds code of a module's author, not of Python, PyTorch or this package."""
    if file.startswith((_HERE, _TORCH)) or (file.startswith("<") and "ipython" not in file):
        return False
    return file.startswith(_PACKAGES) or not file.startswith(_PYTHON)


def user_line(error: BaseException) -> str:
    """``mynet.py:12``, the innermost line of an author's code that ``error`` came through.

    Nothing where it came through none. The errors that led to ``error`` count as well.
    """
    chain: BaseException | None = error
    while chain is not None:
        # Below the frames of this package stands whoever called it.
        frames = traceback.extract_tb(chain.__traceback__)
        ours = [k for k, frame in enumerate(frames) if frame.filename.startswith(_HERE)]
        for frame in reversed(frames[ours[0] + 1 if ours else 0 :]):
            if is_authors(frame.filename):
                return f"{Path(frame.filename).name}:{frame.lineno}"
        chain = chain.__cause__ or chain.__context__
    return ""


def line_in_trace(trace: str) -> str:
    """The innermost line of an author's code in a printed ``trace``, as torch keeps of a node."""
    found = re.findall(r'File "([^"]+)", line (\d+)', trace)
    lines = [f"{Path(file).name}:{line}" for file, line in found if is_authors(file)]
    return lines[-1] if lines else ""
