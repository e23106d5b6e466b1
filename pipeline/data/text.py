"""Text as Unicode code points, split by position into training and validation part."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.config import TextSource
from pipeline.errors import MalformedError
from pipeline.storage import read_file, sha256

_HELD_OUT = 4000  # characters kept for validation cases


@dataclass(frozen=True)
class Text:
    """A text whose first 90 % is for training and the rest for validation."""

    content: str

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the text in UTF-8."""
        return sha256(self.content.encode())

    @property
    def train(self) -> str:
        """The first 90 % of the characters."""
        return self.content[: len(self.content) * 9 // 10]

    @property
    def validation(self) -> str:
        """The last 10 % of the characters."""
        return self.content[len(self.content) * 9 // 10 :]

    @property
    def held_out(self) -> str:
        """A part that training never saw, short enough to travel with the model."""
        return self.validation[:_HELD_OUT]

    @cached_property
    def vocabulary(self) -> str:
        """The distinct characters of the training part, in code-point order."""
        return "".join(sorted(set(self.train)))


def code_points(text: str) -> NDArray[np.int64]:
    """The Unicode code points of ``text``, int64 ``[time]``."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.int64)


def read_text(source: TextSource) -> Text:
    """The text of a TextSource.

    Raises:
        MalformedError: a file is missing, empty, or not UTF-8 (the byte is named).
        StorageError: a file cannot be read.
    """
    if not source.files:
        return _python_reference()
    parts = []
    for name in source.files:
        data = read_file(Path(name), "the text")
        if not data:
            raise MalformedError(f"{name} is empty; give a file with text")
        try:
            parts.append(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise MalformedError(
                f"{name}: not UTF-8 at byte {error.start}; convert it, for example with iconv"
            ) from error
    return Text("".join(parts))


def _python_reference() -> Text:
    """Python's language reference, which every CPython carries for ``help()``."""
    from pydoc_data.topics import topics

    return Text("\n".join(topics.values()))
