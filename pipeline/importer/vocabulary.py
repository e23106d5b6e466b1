"""The characters of a text model of others, in the order of its indices."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.errors import MalformedError
from pipeline.reading import read_file


def read_vocabulary(given: str, size: int) -> tuple[str, bool]:
    """The vocabulary that ``given`` names for a model of ``size`` characters.

    ``given`` is a file, or the characters themselves. A file holds the characters in order, as
    text or as JSON: a string, a list, or a map from characters to indices or back. With one
    character less than ``size``, index 0 is the unknown entry, and the second value is True.

    Raises:
        MalformedError: it has another number of characters, or one of them twice.
        StorageError: the file cannot be read.
    """
    path = Path(given)
    where = f"--vocabulary {given if len(given) <= 60 else given[:60] + '…'}"
    if "\n" not in given and len(given) < 256 and path.is_file():
        text = _in_file(path, where, size)
    else:
        text = given
    repeated = [character for character, count in Counter(text).items() if count > 1]
    if repeated:
        shown = ", ".join(map(repr, repeated[:5]))
        raise MalformedError(f"{where} has {shown} more than once; give each character once")
    if len(text) not in (size, size - 1) or not text:
        raise MalformedError(
            f"{where} has {len(text)} characters, and the weights are for {size}; give {size}, or "
            f"{size - 1} if index 0 is the unknown entry"
        )
    return text, len(text) == size - 1


def _in_file(path: Path, where: str, size: int) -> str:
    data = read_file(path, "the vocabulary")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise MalformedError(f"{where}: not UTF-8 at byte {error.start}; convert it") from error
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, str | list | dict):
        return _from_json(content, where)
    # An editor ends a file with a line end, which only the number of characters tells from one.
    return text.removesuffix("\n") if len(text) not in (size, size - 1) else text


def _from_json(content: str | list[Any] | dict[str, Any], where: str) -> str:
    if isinstance(content, dict):
        if all(isinstance(index, int) for index in content.values()):
            pairs = [(index, character) for character, index in content.items()]
        elif all(index.isdecimal() for index in content):
            pairs = [(int(index), character) for index, character in content.items()]
        else:
            raise MalformedError(f"{where}: a map needs characters and their indices")
        pairs.sort(key=lambda pair: pair[0])
        indices = [index for index, _ in pairs]
        if indices not in (list(range(len(pairs))), list(range(1, len(pairs) + 1))):
            raise MalformedError(
                f"{where}: its indices are not 0 to {len(pairs) - 1}, each once; mend the file"
            )
        content = [character for _, character in pairs]
    for entry in content:
        if not isinstance(entry, str) or len(entry) != 1:
            raise MalformedError(
                f"{where}: {str(entry)[:40]!r} is not one character; this pipeline reads text "
                "character by character"
            )
    return "".join(content)
