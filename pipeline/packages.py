"""Versions of installed packages, and the commands that install optional ones."""

import shlex
import sys
from importlib.metadata import PackageNotFoundError, version

# Version ranges, as in the optional dependencies of pyproject.toml.
REQUIREMENTS = {
    "huggingface-hub": "huggingface-hub>=1.0",
    "model-signing": "model-signing>=1.1",
    "mlflow-skinny": "mlflow-skinny>=3.0",
    "onnxruntime": "onnxruntime>=1.21",
    "playwright": "playwright>=1.49",
    "pyarrow": "pyarrow>=17",
    "pyopenssl": "pyopenssl>=25.0",
    "statsforecast": "statsforecast>=2.0.1",
    "tensorboard": "tensorboard>=2.20",
}


def how_to_install(*packages: str) -> str:
    """The command that installs optional packages for the running Python.

    Each of ``packages`` is a name in ``REQUIREMENTS``, or a requirement with its versions.
    """
    wanted = [REQUIREMENTS.get(package, package) for package in packages]
    return shlex.join([sys.executable, "-m", "pip", "install", *wanted])


def package_version(package: str) -> str:
    """The version of an installed package, or "of unknown version" if it has no metadata."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"
