"""Files that are whole or absent: locks, atomic writes, and digests."""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.errors import StorageError
from pipeline.reading import safe_path

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "the disk quota is used up; free some space and run again",
    errno.EFBIG: "the file size limit is reached; raise it and run again",
    errno.EACCES: "permission denied; choose another folder or change its owner",
    errno.EPERM: "permission denied; choose another folder or change its owner",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "a file stands where a folder is needed; move it or choose another folder",
    errno.EEXIST: "a file stands where a folder is needed; move it or choose another folder",
    errno.EISDIR: "a folder stands where a file is needed; move it or choose another name",
}


def sha256(data: bytes) -> str:
    """SHA-256 in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: Any, indent: int | None = 2) -> bytes:
    """UTF-8 JSON that is the same for equal values, keys in the order given."""
    return (json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n").encode()


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals about ``path`` into a StorageError of one line."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, (error.strerror or str(error)).lower())
        raise StorageError(f"cannot write {path}: {advice}") from error


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for one writer; the lock file stands beside it and dies with the process.

    Raises:
        StorageError: another run holds it, or the parent folder cannot be written.
    """
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise StorageError(
                f"{folder} is being written by another run; wait for it or use another --name"
            ) from error
    try:
        with storage_errors(folder):
            _clear_up(folder)
        yield
    finally:
        lock.release()


def _clear_up(folder: Path) -> None:
    """Undo what a run that was killed left of ``folder``; only its one writer may."""
    recover_folder(folder)
    unfinished = re.compile(rf"\.{re.escape(folder.name)}\.[a-z0-9_]{{8}}\.tmp")
    for path in folder.parent.iterdir():
        if unfinished.fullmatch(path.name):
            shutil.rmtree(path)
    for path in folder.glob(".*.tmp"):
        path.unlink()


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; only POSIX can open a folder, elsewhere the rename is enough."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_file(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` at once: a temporary file in the same folder, synced, renamed.

    Raises:
        StorageError: the file system refused; the previous file is still there.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            _write_synced(temporary, data)
            temporary.chmod(0o644)
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def update_file(path: Path, data: bytes) -> None:
    """:func:`write_file`, but leave a file alone that holds just ``data``.

    Raises:
        StorageError: the file system refused; the previous file is still there.
    """
    with storage_errors(path):
        same = path.is_file() and path.read_bytes() == data
    if not same:
        write_file(path, data)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace ``folder`` by exactly ``files`` (relative POSIX path → bytes, written in order).

    The new folder is complete on disk under a temporary name before the old one is moved
    aside; if moving it in fails, the old one is moved back. :func:`recover_folder` mends a
    crash between the two renames.

    Raises:
        StorageError: the file system refused; the previous folder is still there, whole.
    """
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(
            tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent)
        )
        previous = _previous(folder)
        try:
            temporary.chmod(0o755)
            for name, data in files.items():
                path = temporary / safe_path(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                _write_synced(path, data)
            if folder.is_dir():
                shutil.rmtree(previous, ignore_errors=True)
                folder.rename(previous)
            temporary.rename(folder)
            _sync_folder(folder.parent)
        finally:
            recover_folder(folder)
            shutil.rmtree(temporary, ignore_errors=True)


def _previous(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.previous"


def recover_folder(folder: Path) -> None:
    """Put back the previous folder if its successor is not in place, or else remove it."""
    previous = _previous(folder)
    if previous.is_dir() and not folder.exists():
        previous.rename(folder)
    shutil.rmtree(previous, ignore_errors=True)
