"""A picture as a file: which formats there are, and how all of them look."""

import io
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from pipeline.errors import UsageError
from pipeline.storage import update_file

_FORMATS = ("png", "svg", "pdf")


def check_picture(path: Path, tasks: Collection[str]) -> None:
    """Refuse a picture that no command can draw.

    Raises:
        UsageError: the ending of ``path`` is no picture format, or there are several ``tasks``.
    """
    if path.suffix.removeprefix(".").lower() not in _FORMATS:
        raise UsageError(f"--plot {path}: the name must end in .{', .'.join(_FORMATS)}")
    if len(tasks) > 1:
        raise UsageError("--plot draws either series or text models; name only one kind")


@contextmanager
def plain_text() -> Iterator[None]:
    """Draw text as it is: no mathematics between dollar signs, no words about missing glyphs."""
    with mpl.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


@contextmanager
def picture(path: Path, height: float) -> Iterator[Figure]:
    """A figure that is then written to ``path``; the same drawing gives the same file."""
    kind = path.suffix.removeprefix(".").lower()
    with plain_text(), mpl.rc_context({"svg.hashsalt": "pipeline", "font.size": 9}):
        figure = Figure(figsize=(9, height), layout="constrained")
        yield figure
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata={"Date": None} if kind == "svg" else None)
    update_file(path, buffer.getvalue())
