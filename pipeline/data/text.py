"""Text as Unicode code points, split by position into training and validation part."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pipeline.config import TextSource
from pipeline.errors import MalformedError, UsageError
from pipeline.reading import read_file
from pipeline.storage import sha256

_HELD_OUT = 4000  # characters kept for validation cases


@dataclass(frozen=True)
class Text:
    """A text whose first 90 % is for training and the rest for validation.

    Characters that training sees less than ``min_count`` times are left to the unknown entry.
    ``notes`` are lines for people about how the files were read.
    """

    content: str
    min_count: int = 1
    notes: tuple[str, ...] = ()

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
        """The characters that the training part has often enough, in code-point order."""
        counts = Counter(self.train)
        return "".join(sorted(c for c, count in counts.items() if count >= self.min_count))


def read_text(source: TextSource) -> Text:
    """The text of a TextSource: without byte-order marks, and with LF for every CRLF.

    Raises:
        UsageError: the alphabet is not one.
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
    rare = set(text.train) - set(text.vocabulary)
    if rare:
        note = f"--min-count {source.min_count}: {len(rare)} rare characters are the unknown entry"
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
