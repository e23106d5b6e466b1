"""Which code belongs to the author of a module."""

import re
import sysconfig
from pathlib import Path

import torch

_HERE = str(Path(__file__).parents[1])
_TRIED = str(Path(_HERE, "benchmark", "exporters_modules.py"))  # written as users' files are
_TORCH = str(Path(torch.__file__).parent)
_PYTHON = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
_PACKAGES = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))


def is_authors(file: str) -> bool:
    """Whether a file holds code of a module's author, not of Python, PyTorch or this package."""
    if file == _TRIED:
        return True
    if file.startswith((_HERE, _TORCH)) or (file.startswith("<") and "ipython" not in file):
        return False
    return file.startswith(_PACKAGES) or not file.startswith(_PYTHON)


def line_in_trace(trace: str) -> str:
    """The innermost line of an author's code in a printed ``trace``, as torch keeps of a node."""
    found = re.findall(r'File "([^"]+)", line (\d+)', trace)
    lines = [f"{Path(file).name}:{line}" for file, line in found if is_authors(file)]
    return lines[-1] if lines else ""
