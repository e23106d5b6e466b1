"""TorchScript of the weights of a bundle, traced as the first of a process of its own.

Bundles of format 1 hold it so: the names of its classes depend on the traces of a process before.
"""

import subprocess
import sys
from pathlib import Path

from pipeline.bundle import network_of
from pipeline.contract import Bundle, open_bundle
from pipeline.export.network.torchscript import to_torchscript
from pipeline.storage import sha256

_TIME_LIMIT = 120.0  # seconds


def first_trace(bundle: Bundle) -> str | None:
    """The SHA-256 of that TorchScript; None where the process fails."""
    command = [sys.executable, "-m", __name__, str(bundle.folder.resolve())]
    folder = Path(__file__).parents[2]  # from which this package is imported
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_TIME_LIMIT, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


if __name__ == "__main__":
    opened = open_bundle(Path(sys.argv[1]))
    print(sha256(to_torchscript(network_of(opened), opened.manifest.spread, first=True)))
