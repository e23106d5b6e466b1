"""Files and folders that are written whole or not at all: locks, atomic writes, and digests."""

import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout, UnixFileLock

from pipeline import disk
from pipeline.errors import StorageError
from pipeline.reading import safe_path

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "the disk quota is used up; free some space and run again",
    errno.EFBIG: "the file size limit is reached; raise it and run again",
    errno.EACCES: "permission denied; choose another folder or change its owner",
    errno.EPERM: "permission denied; choose another folder or change its owner",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EBADF: "it is closed",
    errno.EBUSY: "it is in use, perhaps a mounted folder; choose one beside it or inside",
    errno.ENOTDIR: "a file stands where a folder is needed; move it or choose another folder",
    errno.EEXIST: "a file stands where a folder is needed; move it or choose another folder",
    errno.EISDIR: "a folder stands where a file is needed; move it or choose another name",
}


def sha256(data: bytes) -> str:
    """SHA-256 in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: Any, indent: int | None = 2) -> bytes:
    """UTF-8 JSON, the same bytes for equal values; keys keep their order."""
    return (json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n").encode()


_TEMPORARY = r"[a-z0-9_]{8}\.tmp"  # end of the names that mkstemp and mkdtemp make here
_WAIT = 0.1  # seconds; enough for an owner that is about to release the lock
_FILE_WAIT = 60.0  # seconds; far more than writing a report or a picture takes


def advice(error: OSError) -> str:
    """The reason of an OSError in plain words, and what to do about it."""
    return _ADVICE.get(error.errno or 0, (error.strerror or str(error)).lower())


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError about ``path`` into a StorageError of one line."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write {path}: {advice(error)}") from error


@contextmanager
def exclusive(path: Path, wait: float = _WAIT) -> Iterator[None]:
    """Lock a folder or a file for one writer, and remove what a killed writer left of it.

    The lock file is beside ``path``, and is removed at the end, while the lock is still held: a
    process that has opened it meanwhile finds that it has no name any more, and tries again. A
    process that is killed leaves a lock file that nobody holds, and the next writer takes it.

    Args:
        path: The folder or file to write; the target of a link is locked, not the link.
        wait: Seconds to wait for another writer.

    Raises:
        StorageError: another run holds the lock, the parent folder cannot be written, or ``path``
            is a broken link.
    """
    place = _place(path)
    with storage_errors(path):
        disk.make_folder(place.parent)
        lock = FileLock(_lock_of(place))
        try:
            lock.acquire(timeout=wait)
        except Timeout as error:
            raise StorageError(
                f"{path} is being written by another run; wait for it or use another name"
            ) from error
    try:
        with storage_errors(path):
            _clear_up(place)
        yield
    finally:
        if isinstance(lock, UnixFileLock):  # other kinds of lock remove their file
            with suppress(OSError):
                Path(lock.lock_file).unlink()
        lock.release()


def is_unfinished(path: Path) -> bool:
    """Whether a writer of ``path`` is running, or was killed before it had finished."""
    return _lock_of(_place(path)).exists()


def _lock_of(place: Path) -> Path:
    return place.parent / f".{place.name}.lock"


def _place(path: Path) -> Path:
    """The path to write: ``path`` itself, or the target if it is a link."""
    if path.is_symlink() and not path.exists():
        raise StorageError(
            f"{path} is a link to {os.readlink(path)}, which is not there; remove the link, or "
            "make what it leads to"
        )
    return path.resolve() if path.is_symlink() or path.name in ("", "..") else path


def _clear_up(path: Path) -> None:
    """Remove what a killed run left of ``path``; only the holder of its lock may call this."""
    recover_folder(path)
    beside = re.compile(rf"\.{re.escape(path.name)}\.{_TEMPORARY}")
    inside = re.compile(rf"\..+\.{_TEMPORARY}")
    for folder, unfinished in ((path.parent, beside), (path, inside)):
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            for left in folder.iterdir():
                if unfinished.fullmatch(left.name):
                    disk.remove(left)


def write_file(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` atomically: write a temporary file beside it, sync, rename.

    A link is replaced, not its target. The caller holds the lock of the folder; without it, call
    :func:`update_file`.

    Raises:
        StorageError: the file system refused; the previous file is still there.
    """
    with storage_errors(path):
        disk.make_folder(path.parent)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            disk.write_synced(temporary, data)
            temporary.chmod(0o644)
            temporary.replace(path)
            disk.sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def update_file(path: Path, data: bytes) -> None:
    """Write ``data`` to a file that a user named, unless it holds them already.

    If ``path`` is a link, its target is written. Other writers wait for this one.

    Raises:
        StorageError: the file system refused, and the previous file is still there; or ``path`` is
            no file.
    """
    with storage_errors(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            raise StorageError(f"{path} is not a file; choose another name")
    with exclusive(path, _FILE_WAIT), storage_errors(path):
        if not (path.is_file() and path.read_bytes() == data):
            write_file(_place(path), data)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace ``folder`` by exactly ``files`` (relative POSIX path → bytes, written in order).

    Raises:
        StorageError: the file system refused, or the folder is read-only; the previous folder is
            still there, whole.
    """
    with _successor(folder) as new:
        _fill(new, files)


def update_folder(folder: Path, files: Mapping[str, bytes], removed: Collection[str] = ()) -> None:
    """Add or replace ``files`` in ``folder`` and delete those ``removed``, in one step.

    All other files are kept as hard links, with their times.

    Raises:
        StorageError: as :func:`write_folder`.
    """
    with _successor(folder) as new:
        _fill(new, files)
        if folder.exists():
            disk.link_tree(_place(folder), new, {*files, *removed})


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / safe_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        disk.write_synced(path, data)


@contextmanager
def _successor(path: Path) -> Iterator[Path]:
    """Yield a new folder to fill, and let it replace ``path`` afterwards, or the target of a link.

    The new folder is synced to the disk, with the names in all its folders, before it changes
    places with the old one; the exchange is synced before the old folder is removed. If the system
    cannot exchange two folders in one step, the old one is moved aside first;
    :func:`recover_folder` repairs a crash in between.
    """
    folder = _place(path)
    with storage_errors(path):
        if folder.is_dir() and (fixed := disk.read_only_part(folder)):
            raise StorageError(
                f"cannot replace {path}: {fixed} is read-only; make it writable (chmod -R u+w), or "
                "use another name"
            )
        disk.make_folder(folder.parent)
        new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
        try:
            new.chmod(0o755)
            yield new
            disk.sync_tree(new)
            disk.sync_folder(folder.parent)
            _move_in(new, folder)
            disk.sync_folder(folder.parent)
        finally:
            recover_folder(folder)
            disk.remove(new)


def _move_in(new: Path, folder: Path) -> None:
    """Rename ``new`` to ``folder``; an old folder is then called ``new``, or is moved aside."""
    if not folder.is_dir():
        new.rename(folder)
        return
    try:
        disk.exchange(new, folder)
    except OSError as error:
        if error.errno not in disk.NOT_EXCHANGED:
            raise
        disk.remove(_previous(folder))
        folder.rename(_previous(folder))
        new.rename(folder)


def _previous(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.previous"


def recover_folder(folder: Path) -> None:
    """Move the previous folder back if ``folder`` is missing; otherwise remove it."""
    previous = _previous(folder)
    if previous.is_dir() and not folder.exists():
        previous.rename(folder)
    disk.remove(previous)
