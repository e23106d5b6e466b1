"""The loops in eager PyTorch, step by step: what a program would do without a graph for it."""

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
    """The last output ``[batch, 1, …]`` after ``given`` ``[batch, time, …]``, and the state."""
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
    """Text ``[batch, steps]``, how each character of it was drawn (by step), and the state."""
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
    """Streams ``[batch, 1 + samples, steps, targets]``, the first without noise, and the state
    after each ``[batch, 1 + samples, S, hidden]``."""
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
    streams = np.concatenate([nothing, *made], axis=1), state.astype(np.float64)
    values, after = (part.reshape(batch, 1 + samples, *part.shape[1:]) for part in streams)
    return values, after
