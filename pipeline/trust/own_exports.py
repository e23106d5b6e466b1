"""The bundles of modules that this user exported, whose TorchScript may therefore run.

TorchScript of a user's module cannot be traced anew from the weights alone. So an export notes the
digest of the manifest, which vouches for every file, in the settings of the user.
"""

from pathlib import Path

import click

from pipeline.errors import StorageError
from pipeline.storage import exclusive, write_file

_MOST = 10_000  # digests that are kept; the oldest are forgotten


def remember_export(digest: str) -> None:
    """Note a manifest's ``digest``; without a place for settings, nothing is noted."""
    path = _file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with exclusive(path):
            known = [one for one in _known() if one != digest][1 - _MOST :]
            write_file(path, "".join(f"{one}\n" for one in (*known, digest)).encode())
    except (OSError, StorageError):
        return


def was_exported_here(digest: str) -> bool:
    """Whether this user exported the bundle with that digest of its manifest."""
    return digest in _known()


def _file() -> Path:
    return Path(click.get_app_dir("recurrent-pipeline")) / "exports.txt"


def _known() -> list[str]:
    try:
        return _file().read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []
