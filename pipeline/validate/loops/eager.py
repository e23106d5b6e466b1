"""The loops in eager PyTorch, step by step, as a program without the graph would run them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.model import Network
from pipeline.runtimes.chain import Runs
from pipeline.signature import Sampling
from pipeline.validate.loops.sampler import Draw, draw

_Array = NDArray[np.float32] | NDArray[np.int64]


def read(
    network: Network, runtime: Runs, given: _Array, state: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The last output ``[batch, 1, …]`` and the state after ``given`` ``[batch, time, …]``.

    If ``given`` has no steps, the output is computed from ``state`` alone.
    """
    if given.shape[1] == 0:
        given_state = torch.from_numpy(state).to(network.head.weight.dtype)
        with torch.inference_mode():
            return network.next_output(given_state).numpy(), state
    output, state = runtime.run(given, state)
    return output[:, -1:], state


def generate(
    network: Network,
    runtime: Runs,
    prompt: NDArray[np.int64],
    uniform: NDArray[np.float32],
    settings: Sampling,
    state: NDArray[np.float32],
) -> tuple[NDArray[np.int64], list[list[Draw]], NDArray[np.float32]]:
    """The text ``[batch, steps]``, the draws of each step, and the last state.

    ``uniform`` ``[batch, steps]`` holds the random number of each draw.
    """
    vocabulary = np.array([ord(character) for character in network.vocabulary or ""])
    output, state = read(network, runtime, prompt, state)
    text = np.zeros(uniform.shape, np.int64)
    draws = []
    for step, numbers in enumerate(uniform.T):
        drawn = [
            draw(logits, number, settings)
            for logits, number in zip(output[:, 0, 1:], numbers, strict=True)
        ]
        text[:, step] = vocabulary[[one.index for one in drawn]]
        draws.append(drawn)
        output, state = runtime.run(text[:, step : step + 1], state)
    return text, draws, state


def forecast(
    network: Network,
    runtime: Runs,
    history: NDArray[np.float32],
    noise: NDArray[np.float32],
    spread: Sequence[float],
    state: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The paths ``[batch, 1 + samples, steps, targets]``, the first of them without noise, and the
    last state of each path ``[batch, 1 + samples, S, hidden]``.

    ``noise`` ``[batch, samples, steps]`` is multiplied by ``spread`` ``[targets]`` and added to
    each forecast before it is fed back.
    """
    batch, samples, steps = noise.shape
    output, state = read(network, runtime, history, state)
    output, state = (np.repeat(part, 1 + samples, axis=0) for part in (output, state))
    shocks = np.concatenate([np.zeros((batch, 1, steps)), noise], axis=1)
    shocks = shocks.reshape(batch * (1 + samples), steps, 1) * np.array(spread)
    made = []
    for step in range(steps):
        value = output + shocks[:, step : step + 1]
        made.append(value)
        output, state = runtime.run(value.astype(output.dtype), state)
    nothing = np.zeros((len(output), 0, len(spread)))
    paths = np.concatenate([nothing, *made], axis=1), state.astype(np.float64)
    values, after = (part.reshape(batch, 1 + samples, *part.shape[1:]) for part in paths)
    return values, after
