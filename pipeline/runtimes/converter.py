"""Converters: programs of others that turn a model into the file of a runtime.

They bring hundreds of megabytes, of versions that need not fit this environment. So their packages
lie in a folder of their own, in the user's cache, which pip fills once. They are imported in a
process of their own alone, in front of the packages of this environment, whose torch they share.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UnavailableError
from pipeline.storage import exclusive, sha256, storage_errors

TIME_LIMIT = 600.0  # seconds that one conversion may take
_WAIT = 1800.0  # seconds to wait for another run that installs the same packages


@dataclass(frozen=True)
class Converter:
    """A converter: its pinned ``packages``, and what they take on the disk.

    ``convert`` takes a program of ``torch.export`` as bytes, and returns the file. It is pickled
    and called where the packages are. ``packages`` are installed without their dependencies, so
    they name all that is imported and that this project does not depend on. If it ``runs``, the
    runtime itself is among them, and need not be installed in this environment.
    """

    convert: Callable[[bytes], bytes]
    packages: tuple[str, ...]
    megabytes: int
    runs: bool = False

    @property
    def version(self) -> str:
        """The version of the first package, which all others serve."""
        return self.packages[0].partition("==")[2]

    @property
    def folder(self) -> Path:
        """The folder of the packages, which is there once they are all installed."""
        made_of = (sys.implementation.cache_tag, platform.platform(), *self.packages)
        first, _, _ = self.packages[0].partition("==")
        return _cache() / f"{first}-{sha256(repr(made_of).encode())[:12]}"

    def install(self, say: Callable[[str], None] = lambda line: None) -> Path:
        """The folder of the packages; the first time, pip fills it, which ``say`` is told.

        Raises:
            UnavailableError: pip cannot install them; says why.
            StorageError: the file system refused.
        """
        folder = self.folder
        if folder.is_dir():
            return folder
        say(
            f"installing {self.packages[0]}, which converts, to {folder}: once, "
            f"{self.megabytes} MB, about a minute"
        )
        with exclusive(folder, _WAIT), storage_errors(folder):
            if not folder.is_dir():  # another run may have been faster
                new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=_cache()))
                try:
                    self._fill(new)
                    new.rename(folder)
                finally:
                    shutil.rmtree(new, ignore_errors=True)
        return folder

    def _fill(self, folder: Path) -> None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--target", str(folder), *self.packages]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            said = (lines or done.stderr.splitlines() or ["pip says nothing"])[-1]
            raise UnavailableError(
                f"cannot install {self.packages[0]}, which converts ({said[:200]}); check the "
                "network and that this Python has pip ('python -m ensurepip'), then run again"
            )


def _cache() -> Path:
    """The folder of the user's cache for this project."""
    chosen = os.environ.get("XDG_CACHE_HOME")
    folder = Path(chosen) if chosen else Path.home() / ".cache"
    return folder / "recurrent-pipeline"
