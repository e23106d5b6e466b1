"""A built-in network fed with its own outputs, each call from the state that the last has left."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.runtimes.base import Input, State
from pipeline.signature import UNKNOWN_INDEX


class Runs(Protocol):
    """A runtime, or the float64 twin."""

    def run(self, input: Input, state: State, /) -> tuple[NDArray[Any], NDArray[Any]]:
        """One call of the contract."""


def free_run(
    runtime: Runs, given: Input, state: State, steps: int, vocabulary: str | None
) -> NDArray[Any]:
    """What ``runtime`` makes after ``given`` ``[1, time, …]``, each output being its next input.

    That is ``[steps]`` code points, always the likeliest and never the unknown entry, or
    ``[steps, targets]`` values where ``vocabulary`` is None. Without a state, ``given`` is a window
    that slides on: it is read again, less its first step and with what was made.
    """
    made, following = [], given
    for _ in range(steps):
        output, state = runtime.run(following, state)
        step = output[:, -1:]
        if vocabulary is not None:
            known = step[0, 0, UNKNOWN_INDEX + 1 :]
            step = np.array([[ord(vocabulary[int(known.argmax())])]])
        made.append(step[0, 0])
        following = step if state.shape[1] else np.concatenate([following[:, 1:], step], axis=1)
    return np.stack(made)
