"""What the validator needs to know of a runtime."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.signature import Tolerance

Input = NDArray[np.float32] | NDArray[np.int64]
State = NDArray[np.float32]
Exact = NDArray[np.float64]


class Runtime(Protocol):
    """Something that can call an exported model."""

    format: str
    """The file format that it runs."""
    name: str
    """Its name and version."""
    provider: str
    """Where it was asked to run."""
    home: str
    """What the runtime itself calls that place in its profile."""
    tolerance: Tolerance | None = None
    """What it is judged by if it computes in less than float32; None: what the bundle says."""
    note: str = ""
    """What a reader of its results must know."""

    def run(self, input: Input, state: State) -> tuple[State, State]:
        """One call of the contract: output ``[batch, time, …]`` and next state."""

    def placement(self) -> dict[str, str]:
        """On which provider every recurrent node of the last profile ran; empty if there is
        but one place."""
        return {}


@dataclass(frozen=True)
class Absent:
    """A runtime that cannot run here, why, and how to get it."""

    format: str
    name: str
    provider: str
    reason: str


@dataclass(frozen=True)
class Refused(Absent):
    """A runtime that is here and could not open the model."""


def package_version(package: str) -> str:
    """The version of an installed package; builds from elsewhere than PyPI may not tell."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"
