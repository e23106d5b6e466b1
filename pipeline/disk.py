"""Operations of the file system: synced writes, and the exchange of two folders.

Everything here raises OSError; :mod:`pipeline.storage` turns it into messages.
"""

import ctypes
import errno
import os
import shutil
import stat
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

# A folder cannot be opened or synced: it is not readable, or the file system cannot sync folders.
_NOT_SYNCED = {errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOTSUP}
# No hard link: the file system has none, the file has too many, or it belongs to another user.
_NOT_LINKED = {errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}
# No exchange: the kernel or C library is too old, or the file system cannot do it.
NOT_EXCHANGED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}

_AT_FDCWD = -100  # fcntl.h of Linux: paths are relative to the current folder
_RENAME_EXCHANGE = 2  # linux/fs.h
_RENAME_SWAP = 2  # sys/stdio.h of macOS


def write_synced(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` and sync it to the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Sync the names in ``folder`` to the disk; only POSIX can open a folder."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NOT_SYNCED:
            raise


def sync_tree(folder: Path) -> None:
    """Sync the names in ``folder`` and in every folder below it, the deepest first."""
    for path, _, _ in os.walk(folder, topdown=False):
        sync_folder(Path(path))


def make_folder(folder: Path) -> None:
    """Make ``folder`` and its missing parents, and sync their names to the disk."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(new):
        sync_folder(path.parent)


def exchange(one: Path, other: Path) -> None:
    """Exchange two folders of one file system in one atomic step.

    Raises:
        OSError: its errno is in ``NOT_EXCHANGED`` if the system cannot exchange folders.
    """
    call = _exchange_call()
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(os.fsencode(one), os.fsencode(other)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


def _exchange_call() -> Callable[[bytes, bytes], int] | None:
    """renameat2(2) of Linux, or renamex_np(2) of macOS, which Python lacks; None elsewhere."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None, use_errno=True)
        with suppress(AttributeError):
            rename = library.renameat2
            return lambda one, other: int(
                rename(_AT_FDCWD, one, _AT_FDCWD, other, ctypes.c_uint(_RENAME_EXCHANGE))
            )
    if sys.platform == "darwin":
        swap = ctypes.CDLL(None, use_errno=True).renamex_np
        return lambda one, other: int(swap(one, other, ctypes.c_uint(_RENAME_SWAP)))
    return None


def link_tree(source: Path, target: Path, without: Collection[str]) -> None:
    """Hard-link every file below ``source`` into ``target``, which may hold files already.

    ``without`` names files that are left out, as POSIX paths relative to ``source``. Symbolic links
    are linked and not followed. Folders are made with the times and permissions of the old ones. A
    file that cannot be linked is copied.

    Raises:
        FileExistsError: ``target`` has a file in place of a folder.
    """
    with os.scandir(source) as found:
        entries = list(found)
    for entry in entries:
        made = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            made.mkdir(exist_ok=True)
            prefix = f"{entry.name}/"
            below = {name.removeprefix(prefix) for name in without if name.startswith(prefix)}
            link_tree(Path(entry.path), made, below)
        elif entry.name not in without:
            _link(Path(entry.path), made)
    _make_alike(source, target)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NOT_LINKED:
            raise
        shutil.copy2(source, target, follow_symlinks=False)
        if target.is_file() and not target.is_symlink():
            with target.open("rb") as file:
                os.fsync(file.fileno())


def _make_alike(source: Path, target: Path) -> None:
    """Copy times, permissions and, if permitted, the owner from one folder to another."""
    if os.name == "posix":
        found = source.stat()
        with suppress(PermissionError):
            os.chown(target, found.st_uid, found.st_gid)
    shutil.copystat(source, target)


def remove(path: Path) -> None:
    """Remove a file or a folder, even a read-only one; what cannot be removed stays, silently."""
    if path.is_symlink() or not path.is_dir():
        with suppress(OSError):
            path.unlink()
        return
    _allow(path)
    for place, folders, _ in os.walk(path):
        for name in folders:
            _allow(Path(place, name))
    shutil.rmtree(path, ignore_errors=True)


def _allow(folder: Path) -> None:
    if not folder.is_symlink() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        with suppress(OSError):
            folder.chmod(stat.S_IRWXU)


def read_only_part(folder: Path) -> Path | None:
    """The first folder of a tree that :func:`remove` cannot or should not empty; None if none.

    It is ``folder`` itself if that is read-only, or a read-only folder below it that belongs to
    another user.
    """
    if not _is_writable(folder):
        return folder
    for path, folders, _ in os.walk(folder):
        for name in folders:
            place = Path(path, name)
            if not place.is_symlink() and not _is_writable(place) and not _is_ours(place):
                return place
    return None


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def _is_ours(folder: Path) -> bool:
    return os.name != "posix" or folder.stat().st_uid == os.geteuid()
