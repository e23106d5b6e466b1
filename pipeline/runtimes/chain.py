"""The free run of a built-in network: each output is the next input, and the state is kept."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.network_tensors import UNKNOWN_INDEX
from pipeline.runtimes.base import Input, State, step
from pipeline.verify import Model


def free_run(
    model: Model, given: Input, state: State, steps: int, vocabulary: str | None
) -> NDArray[Any]:
    """Run ``model`` for ``steps`` steps after ``given`` ``[1, time, …]``, on its own outputs.

    The result is ``[steps]`` code points, each the likeliest known character, or
    ``[steps, targets]`` values if ``vocabulary`` is None. If the network has no state, each step
    reads a window again, without its first step and with the last output at its end.
    """
    made, following = [], given
    for _ in range(steps):
        output, state = step(model, following, state)
        last = output[:, -1:]
        if vocabulary is not None:
            known = last[0, 0, UNKNOWN_INDEX + 1 :]
            last = np.array([[ord(vocabulary[int(known.argmax())])]])
        made.append(last[0, 0])
        following = last if state.shape[1] else np.concatenate([following[:, 1:], last], axis=1)
    return np.stack(made)
