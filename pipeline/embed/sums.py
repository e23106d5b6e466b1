"""``SHA256SUMS`` of a project: the digests of all files that were written, as coreutils reads it.

``sha256sum --check SHA256SUMS`` in the folder of a project checks a copy of it.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.errors import IntegrityError
from pipeline.reading import read_file
from pipeline.storage import sha256

SUMS_FILE = "SHA256SUMS"

# A file of the project in every line: no absolute path, no "..", nothing that coreutils escapes.
_PART = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+"
_LINE = re.compile(rf"([0-9a-f]{{64}})  ({_PART}(?:/{_PART})*)")


def sums_file(files: Mapping[str, bytes]) -> bytes:
    """``SHA256SUMS`` for ``files`` (path → content), in their order."""
    return "".join(f"{sha256(data)}  {name}\n" for name, data in files.items()).encode()


def read_sums(folder: Path) -> dict[str, str] | None:
    """The digests in ``SHA256SUMS`` of ``folder`` by path, or None if there is no such file.

    Raises:
        IntegrityError: the file does not have the form that :func:`sums_file` writes.
        StorageError: the file cannot be read.
    """
    path = folder / SUMS_FILE
    if not path.is_symlink() and not path.exists():
        return None
    damaged = IntegrityError(f"{path} is damaged; --force writes the files of the project anew")
    if path.is_symlink() or not path.is_file():
        raise damaged
    try:
        text = read_file(path, "the digests of the project").decode("ascii")
    except UnicodeDecodeError as error:
        raise damaged from error
    *lines, rest = text.split("\n")
    found = [_LINE.fullmatch(line) for line in lines]
    sums = {match[2]: match[1] for match in found if match}
    if rest or not lines or len(sums) != len(lines):
        raise damaged
    return sums


def digests(folder: Path, names: Iterable[str]) -> dict[str, str | None]:
    """SHA-256 of each file of ``folder`` by its path; None for a missing file.

    A link or a folder in place of a file has an empty digest.

    Raises:
        StorageError: a file cannot be read.
    """
    found: dict[str, str | None] = {}
    for name in names:
        path = folder / name
        if path.is_file() and not path.is_symlink():
            found[name] = sha256(read_file(path, "a file of the project"))
        else:
            found[name] = "" if path.is_symlink() or path.exists() else None
    return found
