"""Packages: their versions, and what installs those that are not always there."""

import shlex
import sys
from importlib.metadata import PackageNotFoundError, version

# The ranges of pyproject.toml, where each stands among the optional dependencies.
REQUIREMENTS = {
    "model-signing": "model-signing>=1.1",
    "onnxruntime": "onnxruntime>=1.21",
    "playwright": "playwright>=1.49",
    "pyarrow": "pyarrow>=17",
    "pyopenssl": "pyopenssl>=25.0",
}


def how_to_install(*packages: str) -> str:
    """The command that installs optional packages for the Python that is running.

    A package is a name that is listed here, or a requirement, which is taken as it is.
    """
    wanted = [REQUIREMENTS.get(package, package) for package in packages]
    return shlex.join([sys.executable, "-m", "pip", "install", *wanted])


def package_version(package: str) -> str:
    """The version of an installed package; builds from elsewhere than PyPI may not tell."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"
