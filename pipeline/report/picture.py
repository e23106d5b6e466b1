"""Picture files: their formats, and the style that all of them share."""

import io
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from pipeline.errors import UsageError
from pipeline.storage import update_file

_FORMATS = ("png", "svg", "pdf")
_STYLE: dict[Any, Any] = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "svg.hashsalt": "pipeline",
}


def check_picture(path: Path, tasks: Collection[str]) -> None:
    """Make sure that a picture of models of ``tasks`` can be drawn to ``path``.

    Raises:
        UsageError: the ending of ``path`` is no picture format, or there are several ``tasks``.
    """
    if path.suffix.removeprefix(".").lower() not in _FORMATS:
        raise UsageError(f"--plot {path}: the name must end in .{', .'.join(_FORMATS)}")
    if len(tasks) > 1:
        raise UsageError("--plot draws either series or text models; name only one kind")


@contextmanager
def plain_text() -> Iterator[None]:
    """Draw text literally: dollar signs begin no formula, and missing glyphs give no warning."""
    with mpl.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


@contextmanager
def picture(path: Path, height: float) -> Iterator[Figure]:
    """Yield a figure, and write it to ``path`` afterwards; equal drawings give equal files."""
    kind = path.suffix.removeprefix(".").lower()
    with plain_text(), mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9, height), layout="constrained")
        yield figure
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata={"Date": None} if kind == "svg" else None)
    update_file(path, buffer.getvalue())
