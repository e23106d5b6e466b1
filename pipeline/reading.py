"""Safe reading of files that a user gave, and of artefacts (bundles, checkpoints) from anyone.

In an artefact, no device or pipe is waited for, no link is followed out of its folder, and no
memory is allocated for a file before its size has been checked.
"""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from pipeline.errors import MalformedError, StorageError, UnsafeError

JSON_LIMIT = 64 * 2**20  # largest JSON file of an artefact in bytes, for readers and writers

# If names can be opened relative to an open folder, nothing can be swapped between check and use.
_BELOW_FOLDERS = {os.open, os.stat} <= os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")


def safe_path(name: str) -> PurePosixPath:
    """``name`` as a relative path that stays in its folder.

    Raises:
        UnsafeError: the path is absolute, climbs with ``..``, names no file, or uses a drive,
            a backslash or a character that does not print.
    """
    path = PurePosixPath(name)
    climbs = path.is_absolute() or ".." in path.parts
    if climbs or not path.parts or not name.isprintable() or "\\" in name or ":" in name:
        raise UnsafeError(f"the path {name!r} leaves its folder; do not use this file")
    return path


def read_file(path: Path, what: str) -> bytes:
    """The bytes of a file that a user gave: a regular file, or a pipe, read to its end.

    Raises:
        MalformedError: there is no such file, or it is a device; the message calls it ``what``.
        StorageError: it cannot be read, or does not fit into memory.
    """
    with _refusals(path, what):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise MalformedError(f"{path} is a device and no file; give {what} as a file")
        return path.read_bytes()


@contextmanager
def open_inside(folder: Path, name: str, what: str) -> Iterator[BinaryIO]:
    """Open a regular file of an artefact; ``folder`` may be a link, but nothing below it.

    Raises:
        MalformedError: there is no such file, or it is a folder, a pipe or a device.
        UnsafeError: the name leaves the folder, or the path contains a link.
        StorageError: it cannot be read, or does not fit into memory.
    """
    path = folder / safe_path(name)
    with _refusals(path, what):
        descriptor = _open_below(folder, path) if _BELOW_FOLDERS else _open_checked(folder, path)
        with open(descriptor, "rb") as file:
            _require(os.fstat(descriptor).st_mode, stat.S_ISREG, path)
            yield file


def size_of(file: BinaryIO) -> int:
    """The size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


def read_inside(folder: Path, name: str, what: str, limit: int = JSON_LIMIT) -> bytes:
    """The content of a file of an artefact, of at most ``limit`` bytes.

    Raises:
        MalformedError: it is longer; this and the other errors are raised as in
            :func:`open_inside`.
    """
    with open_inside(folder, name, what) as file:
        size = size_of(file)
        if size > limit:
            raise MalformedError(
                f"{folder / name} has {size:,} bytes, more than the {limit:,} that {what} may "
                "have; make it anew"
            )
        return file.read(size)


def parse_json(data: bytes, path: Path) -> Any:
    """Parse strict JSON: no duplicate keys, no NaN, no infinity, no lone surrogates.

    Raises:
        MalformedError: it is no such JSON; the message names ``path``.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_finite,
            parse_float=_finite,
        )
        if b"\\u" in data:  # only an escape can be a lone surrogate
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        why = " ".join(ascii(str(error))[1:-1].split())[:200]
        raise MalformedError(f"{path} is not JSON ({why}); write it anew") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return content


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise ValueError(f"{text[:40]} is no finite number")
    return number


@contextmanager
def _refusals(path: Path, what: str) -> Iterator[None]:
    """Turn errors of reading ``path`` into errors of one line, which call it ``what``."""
    try:
        yield
    except FileNotFoundError as error:
        raise MalformedError(f"{what} is missing: {path}") from error
    except MemoryError as error:
        raise StorageError(f"{path} does not fit into memory; give a smaller one") from error
    except OSError as error:
        raise StorageError(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}"
        ) from error


def _open_below(folder: Path, path: Path) -> int:
    """Open ``path`` folder by folder, each relative to the one before; returns a descriptor."""
    *parents, name = path.relative_to(folder).parts
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for parent in parents:
            _require(os.stat(parent, dir_fd=at, follow_symlinks=False).st_mode, stat.S_ISDIR, path)
            inner = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = inner
        _require(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode, stat.S_ISREG, path)
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    finally:
        os.close(at)


def _open_checked(folder: Path, path: Path) -> int:
    """Open ``path`` on systems that cannot open names relative to an open folder."""
    for parent in path.relative_to(folder).parents[:-1]:
        _require((folder / parent).lstat().st_mode, stat.S_ISDIR, path)
    _require(path.lstat().st_mode, stat.S_ISREG, path)
    return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))


def _require(mode: int, is_kind: Any, path: Path) -> None:
    if stat.S_ISLNK(mode):
        raise UnsafeError(f"{path} is a link or lies behind one; put the file itself there")
    if not is_kind(mode):
        raise MalformedError(f"{path} is no regular file; put the file itself there")
