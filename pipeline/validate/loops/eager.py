"""The loops in eager PyTorch, step by step, as a program without the graph would run them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.contract.law import Array
from pipeline.network_tensors import Sampling
from pipeline.runtimes.base import step
from pipeline.validate.loops.sampler import DrawnCharacter, draw
from pipeline.verify import Model, TaskReference


def read(reference: TaskReference, model: Model, given: Array, state: Array) -> tuple[Array, Array]:
    """The last output ``[batch, 1, …]`` and the state after ``given`` ``[batch, time, …]``.

    If ``given`` has no steps, the output is computed from ``state`` alone.
    """
    if given.shape[1] == 0:
        return reference.next_output(state), state
    output, state = step(model, given, state)
    return output[:, -1:], state


def generate(
    reference: TaskReference,
    model: Model,
    prompt: NDArray[np.int64],
    uniform: NDArray[np.float32],
    settings: Sampling,
    state: NDArray[np.float32],
) -> tuple[NDArray[np.int64], list[list[DrawnCharacter]], NDArray[np.float32]]:
    """The text ``[batch, steps]``, the draws of each step, and the last state.

    ``uniform`` ``[batch, steps]`` holds the random number of each draw.
    """
    vocabulary = np.array([ord(character) for character in reference.vocabulary or ""])
    output, state = read(reference, model, prompt, state)
    text = np.zeros(uniform.shape, np.int64)
    draws = []
    for place, numbers in enumerate(uniform.T):
        drawn = [
            draw(logits, number, settings)
            for logits, number in zip(output[:, 0, 1:], numbers, strict=True)
        ]
        text[:, place] = vocabulary[[one.index for one in drawn]]
        draws.append(drawn)
        output, state = step(model, text[:, place : place + 1], state)
    return text, draws, state


def forecast(
    reference: TaskReference,
    model: Model,
    history: NDArray[np.float32],
    noise: NDArray[np.float32],
    spread: Sequence[float],
    state: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The paths ``[batch, 1 + samples, steps, targets]``, the first of them without noise, and the
    last state of each path ``[batch, 1 + samples, S, hidden]``.

    ``noise`` ``[batch, samples, steps]`` is multiplied by ``spread`` ``[targets]`` and added to
    each forecast before it is fed back. ``model`` computes in float64.
    """
    batch, samples, steps = noise.shape
    output, state = read(reference, model, history, state.astype(np.float64))
    output, state = (np.repeat(part, 1 + samples, axis=0) for part in (output, state))
    shocks = np.concatenate([np.zeros((batch, 1, steps)), noise], axis=1)
    shocks = shocks.reshape(batch * (1 + samples), steps, 1) * np.array(spread)
    made = []
    for place in range(steps):
        value = output + shocks[:, place : place + 1]
        made.append(value)
        output, state = step(model, value.astype(output.dtype), state)
    nothing = np.zeros((len(output), 0, len(spread)))
    paths = np.concatenate([nothing, *made], axis=1), state.astype(np.float64)
    values, after = (part.reshape(batch, 1 + samples, *part.shape[1:]) for part in paths)
    return values, after
