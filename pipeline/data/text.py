"""Text as Unicode code points, split by position into training and validation part."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.config import TextSource
from pipeline.contract.held_out import code_points
from pipeline.errors import MalformedError, UsageError
from pipeline.reading import read_file

_HELD_OUT = 4000  # characters kept for validation cases
_PART = 2**20  # characters converted or counted at a time


@dataclass(frozen=True)
class Text:
    """A text whose first 90 % is for training and the rest for validation.

    Characters that occur fewer than ``min_count`` times in training become the unknown entry.
    ``notes`` are lines for people about how the files were read.
    """

    content: str
    min_count: int = 1
    notes: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the text in UTF-8."""
        digest = hashlib.sha256()
        for part in _parts(self.content):
            digest.update(part.encode())
        return digest.hexdigest()

    @property
    def train_length(self) -> int:
        """The number of characters for training, the first 90 %."""
        return len(self.content) * 9 // 10

    @property
    def train(self) -> str:
        """The first 90 % of the characters."""
        return self.content[: self.train_length]

    @property
    def validation(self) -> str:
        """The last 10 % of the characters."""
        return self.content[self.train_length :]

    @property
    def held_out(self) -> str:
        """A part that training never saw, short enough to be stored with the model."""
        return self.content[self.train_length : self.train_length + _HELD_OUT]

    @cached_property
    def points(self) -> NDArray[np.int32]:
        """The Unicode code points of all characters, int32 ``[time]``, to save memory."""
        points = np.empty(len(self.content), np.int32)
        done = 0
        for part in _parts(self.content):
            points[done : done + len(part)] = code_points(part)
            done += len(part)
        return points

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """The count of each code point in the training part, int64 ``[points]``."""
        train = self.points[: self.train_length]
        counts = np.zeros(int(train.max(initial=0)) + 1, np.int64)
        for start in range(0, len(train), _PART):
            found = np.bincount(train[start : start + _PART])
            counts[: len(found)] += found
        return counts

    @cached_property
    def vocabulary(self) -> str:
        """The characters with at least ``min_count`` occurrences, in code-point order."""
        return "".join(map(chr, np.flatnonzero(self.counts >= self.min_count)))


def _parts(text: str) -> Iterator[str]:
    """``text`` in parts, so that processing each takes little memory."""
    return (text[start : start + _PART] for start in range(0, len(text), _PART))


def read_text(source: TextSource) -> Text:
    """The text of a TextSource: without byte-order marks, and with LF for every CRLF.

    Raises:
        UsageError: the alphabet is malformed.
        MalformedError: a file is missing, empty, or not UTF-8 (the byte is named), or an option
            leaves nothing to learn.
        StorageError: a file cannot be read.
    """
    parts, notes = [], []
    for name in source.files:
        part, changes = _read_file(name)
        parts.append(part)
        notes += [f"{name}: {', '.join(changes)}"] if changes else []
    content = "".join(parts) if source.files else _python_reference()
    if source.lowercase:
        content = content.lower()
    if source.alphabet is not None:
        kept = content.translate(_Alphabet(source.alphabet))
        notes.append(
            f"--alphabet {source.alphabet}: {len(content) - len(kept):,} of {len(content):,} "
            "characters left out"
        )
        content = kept
    text = Text(content, source.min_count, tuple(notes))
    if not text.vocabulary and (source.alphabet or source.min_count > 1):
        raise MalformedError(
            "--alphabet and --min-count leave no character to learn; give others, or more text"
        )
    rare = np.count_nonzero(text.counts) - len(text.vocabulary)
    if rare:
        note = f"--min-count {source.min_count}: {rare} rare characters are the unknown entry"
        text = replace(text, notes=(*text.notes, note))
    return text


def _read_file(name: str) -> tuple[str, list[str]]:
    """The text in a file, and what was changed to make it one."""
    data = read_file(Path(name), "the text")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(
            f"{name}: not UTF-8 at byte {error.start}; convert it, for example with iconv"
        ) from error
    changes = []
    if text.startswith("\ufeff"):
        text = text[1:]
        changes.append("byte-order mark removed")
    if not text:
        raise MalformedError(f"{name} is empty; give a file with text")
    if ends := text.count("\r\n"):
        text = text.replace("\r\n", "\n")
        changes.append(f"{ends:,} CRLF line ends read as LF")
    return text, changes


class _Alphabet(dict[int, int | None]):
    """A table for str.translate that keeps the characters of ``spec`` and drops all others.

    ``spec`` lists characters and ranges, as ``a-z0-9``; a hyphen at either end is itself.

    Raises:
        UsageError: a range runs backwards.
    """

    def __init__(self, spec: str) -> None:
        super().__init__()
        for single, first, last in re.findall(r"(?s)(.)(?!-.)|(.)-(.)", spec):
            if last < first:
                raise UsageError(
                    f"--alphabet {spec}: the range {first}-{last} runs backwards; "
                    f"write {last}-{first}"
                )
            points = range(ord(first), ord(last) + 1) if first else (ord(single),)
            self.update((point, point) for point in points)

    def __missing__(self, point: int) -> None:
        return None


def _python_reference() -> str:
    """Python's language reference, which every CPython carries for ``help()``."""
    from pydoc_data.topics import topics

    return "\n".join(topics.values())
