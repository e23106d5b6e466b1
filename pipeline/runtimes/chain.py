"""The free run of a built-in network: each output is the next input, and the state is kept."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.runtimes.base import Input, State
from pipeline.signature import UNKNOWN_INDEX


class Runs(Protocol):
    """A runtime, or the float64 twin."""

    def run(self, input: Input, state: State, /) -> tuple[NDArray[Any], NDArray[Any]]:
        """One call: output and next state."""


def free_run(
    runtime: Runs, given: Input, state: State, steps: int, vocabulary: str | None
) -> NDArray[Any]:
    """Run ``runtime`` for ``steps`` steps after ``given`` ``[1, time, …]``, on its own outputs.

    The result is ``[steps]`` code points, each the likeliest known character, or
    ``[steps, targets]`` values if ``vocabulary`` is None. If the network has no state, each step
    reads a window again, without its first step and with the last output at its end.
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
