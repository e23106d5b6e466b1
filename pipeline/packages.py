"""The packages that are not always there, and the command that installs each."""

import shlex
import sys

# The ranges of pyproject.toml, where each stands among the optional dependencies.
REQUIREMENTS = {
    "onnxruntime": "onnxruntime>=1.21",
    "openvino": "openvino>=2026.4",
    "playwright": "playwright>=1.49",
    "pyarrow": "pyarrow>=17",
    "tract": "tract>=0.23.9",
}


def how_to_install(package: str) -> str:
    """The command that installs an optional package for the Python that is running."""
    return shlex.join([sys.executable, "-m", "pip", "install", REQUIREMENTS[package]])
