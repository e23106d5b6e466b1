"""The benchmark of the graph with the loop inside against a loop in Python, as ratios of one run.

The loop in Python calls ``onnx/model.onnx`` for every step and does the rest in numpy, as a program
without the other graph would.
"""

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.bundle import Bundle
from pipeline.config import Record
from pipeline.contract.files import ONNX_FILE
from pipeline.errors import UsageError
from pipeline.network_tensors import (
    HISTORY,
    INPUT,
    NOISE,
    PROMPT,
    STATE,
    STEPS,
    TEMPERATURE,
    TOP_K,
    TOP_P,
    UNIFORM,
)
from pipeline.runtimes.onnx_runtime import graph_errors, one_thread_session

_STEPS = 500
_READ = 20  # steps that are read before the loop begins
_BATCHES = (1, 32)
_ROUNDS = 15  # rounds of each side, in turns; the fastest counts, since other work only slows down
_SEED = 20_241_125
# Temperature, top-k and top-p.
_SETTINGS = {
    "greedy": (0.0, 0, 1.0),
    "temperature 0.8": (0.8, 0, 1.0),
    "top-p 0.95": (0.8, 0, 0.95),
    "top-k 40, top-p 0.95": (0.8, 40, 0.95),
}

Array = NDArray[Any]


class Measured(Record):
    """Microseconds of one step of all streams, in the graph and in the Python loop."""

    model: str
    what: str
    batch: int
    graph: float
    python: float

    @property
    def ratio(self) -> float:
        """The time of the graph as a share of the time of the Python loop."""
        return self.graph / self.python


class Sides(NamedTuple):
    """Two functions that make the same text or forecast ``[batch, steps, …]``."""

    what: str
    batch: int
    graph: Callable[[], Array]
    python: Callable[[], Array]


def benchmark(bundle: Bundle) -> Iterator[Measured]:
    """Measure one bundle on the CPU, with one thread.

    Raises:
        MalformedError: a graph cannot be run as the manifest says.
        PipelineError: as :func:`sides`.
    """
    for what, batch, *calls in sides(bundle, _STEPS):
        fastest = [math.inf, math.inf]
        for _ in range(_ROUNDS):
            for side, call in enumerate(calls):
                start = time.perf_counter()
                with graph_errors(bundle.folder):
                    call()
                fastest[side] = min(fastest[side], time.perf_counter() - start)
        graph, python = (seconds / _STEPS * 1e6 for seconds in fastest)
        yield Measured(
            model=bundle.manifest.name, what=what, batch=batch, graph=graph, python=python
        )


def sides(bundle: Bundle, steps: int) -> Iterator[Sides]:
    """The two sides to measure, for every batch size and setting, each over ``steps`` steps.

    Raises:
        UsageError: the bundle has no graph with a loop.
        IntegrityError: a file of it was changed.
        MalformedError: ONNX Runtime cannot load a graph.
    """
    manifest = bundle.manifest
    if manifest.loop is None:
        raise UsageError(f"{manifest.name} has no graph with a loop inside; name others")
    looped = _session(bundle, manifest.loop.file)
    core = _session(bundle, ONNX_FILE)
    source, rng = bundle.task_data(), np.random.default_rng(_SEED)
    for batch in _BATCHES:
        given = np.stack([source[:_READ]] * batch)
        state = bundle.initial_states(batch)[STATE]
        if manifest.vocabulary is None:
            noise = np.zeros((batch, 0, steps), np.float32)
            feeds = {HISTORY: given, STEPS: np.array(steps), NOISE: noise, STATE: state}
            python = partial(_forecast, core, given, state, steps)
            yield Sides("forecast", batch, partial(_in_graph, looped, feeds), python)
            continue
        points = np.array([ord(character) for character in manifest.vocabulary])
        numbers = rng.random((batch, steps), np.float32)
        for name, (temperature, top_k, top_p) in _SETTINGS.items():
            feeds = {
                PROMPT: given,
                UNIFORM: numbers,
                TEMPERATURE: np.array(temperature, np.float32),
                TOP_K: np.array(top_k),
                TOP_P: np.array(top_p, np.float32),
                STATE: state,
            }
            draws = (temperature, top_k, top_p)
            python = partial(_generate, core, given, numbers, points, state, *draws)
            yield Sides(name, batch, partial(_in_graph, looped, feeds), python)


def _session(bundle: Bundle, name: str) -> onnxruntime.InferenceSession:
    data = bundle.read(name)
    with graph_errors(bundle.folder / name):
        return one_thread_session(data)


def _in_graph(looped: onnxruntime.InferenceSession, feeds: dict[str, Array]) -> Array:
    made: Array = looped.run(None, feeds)[0]
    return made


def _forecast(core: onnxruntime.InferenceSession, given: Array, state: Array, steps: int) -> Array:
    made = []
    for _ in range(steps):
        output, state = core.run(None, {INPUT: given, STATE: state})
        given = output[:, -1:]
        made.append(given)
    return np.concatenate(made, axis=1)


def _generate(
    core: onnxruntime.InferenceSession,
    given: Array,
    numbers: Array,
    points: Array,
    state: Array,
    temperature: float,
    top_k: int,
    top_p: float,
) -> Array:
    """Text, and beside it the log-probabilities that the graph works out too."""
    rows = np.arange(len(given))
    made, chances = [], []
    for number in numbers.T:
        output, state = core.run(None, {INPUT: given, STATE: state})
        logits = output[:, -1, 1:]
        if temperature == 0:
            index = logits.argmax(axis=1)
            chance = np.zeros(len(rows), np.float32)
        else:
            z = (logits - logits.max(axis=1, keepdims=True)) / np.float32(temperature)
            if top_k or top_p < 1:
                ranked = np.sort(z, axis=1)[:, ::-1][:, : top_k or None]
                p = np.exp(ranked)
                p /= p.sum(axis=1, keepdims=True)
                kept = np.cumsum(p, axis=1) - p < top_p
                least = np.where(kept, ranked, np.inf).min(axis=1, keepdims=True)
                z = np.where(z >= least, z, -np.inf)
            reached = np.cumsum(np.exp(z), axis=1)
            total = reached[:, -1:]
            index = (reached <= number[:, None] * total).sum(axis=1)
            chance = z[rows, index] - np.log(total[:, 0])
        given = points[index][:, None]
        made.append(given)
        chances.append(chance)
    return np.concatenate(made, axis=1)
