"""What the validator needs to know of a runtime."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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

    def run(self, input: Input, state: State) -> tuple[State, State]:
        """One call of the contract: output ``[batch, time, …]`` and next state."""

    def placement(self) -> dict[str, str]:
        """On which provider every recurrent node of the last profile ran; empty if there is
        but one place."""


@dataclass(frozen=True)
class Absent:
    """A runtime that cannot run here, why, and how to get it."""

    format: str
    name: str
    provider: str
    reason: str
