"""The packages that are not always there, and the command that installs each."""

import shlex
import sys

# The ranges of pyproject.toml, where each stands among the optional dependencies.
REQUIREMENTS = {
    "model-signing": "model-signing>=1.1",
    "onnxruntime": "onnxruntime>=1.21",
    "openvino": "openvino>=2026.4",
    "playwright": "playwright>=1.49",
    "pyarrow": "pyarrow>=17",
    "pyopenssl": "pyopenssl>=25.0",
    "tract": "tract>=0.23.9",
}


def how_to_install(*packages: str) -> str:
    """The command that installs optional packages for the Python that is running."""
    wanted = [REQUIREMENTS[package] for package in packages]
    return shlex.join([sys.executable, "-m", "pip", "install", *wanted])
