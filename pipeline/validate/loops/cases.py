"""Test cases for graphs with the loop inside, with the answers of eager PyTorch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.contract.law import FLOAT32, Exact, allowed, own_error
from pipeline.contract.samples import outside
from pipeline.network_tensors import (
    FORECAST,
    HISTORY,
    NEXT_STATE,
    NOISE,
    PATHS,
    PROMPT,
    STATE,
    STEPS,
    TEMPERATURE,
    TOP_K,
    TOP_P,
    UNIFORM,
    Sampling,
)
from pipeline.runtimes.base import State, step
from pipeline.validate.free_run import OffBy, random_signs
from pipeline.validate.loops.eager import forecast, generate
from pipeline.validate.loops.sampler import DrawnCharacter
from pipeline.verify import Model, TaskReference

LENGTH = 500  # characters of the long texts
_SHORT = 40  # steps of the other cases
_READ = 50  # steps that are read before the loop begins
_SEED = 20_241_124

SETTINGS = {
    "greedy": Sampling(temperature=0.0),
    "temperature 1": Sampling(),
    "temperature 0.6": Sampling(temperature=0.6),
    "top-k 10": Sampling(top_k=10),
    "top-p 0.9": Sampling(top_p=0.9),
    "all filters": Sampling(temperature=0.8, top_k=20, top_p=0.95),
}
# Settings outside their ranges, each with the valid settings that it is defined to equal.
_ODD = {
    "temperature below 0": (Sampling(temperature=-1.0), SETTINGS["greedy"]),
    "top-k beyond the vocabulary": (Sampling(top_k=10**6), Sampling()),
    "top-k below 0": (Sampling(top_k=-5), Sampling()),
    "top-p above 1": (Sampling(top_p=1.5), Sampling()),
    "top-p 0": (Sampling(top_p=0.0), Sampling(top_k=1)),
}


@dataclass(frozen=True)
class TextCase:
    """A text to generate from ``feeds``, with the text that PyTorch generates.

    ``draws`` hold, for each step and stream, how PyTorch drew the character. ``state`` is the exact
    last state, and ``state_limits`` says how far off it may be. ``points`` are the code points of
    the vocabulary, by the index of their logits.
    """

    name: str
    feeds: dict[str, NDArray[Any]]
    text: NDArray[np.int64]
    draws: Sequence[Sequence[DrawnCharacter]]
    state: Exact
    state_limits: Exact
    points: tuple[int, ...]


@dataclass(frozen=True)
class ForecastCase:
    """A forecast to make from ``feeds``.

    ``exact`` and ``limits`` hold, for each output of the graph, its exact values and how far off
    each of them may be.
    """

    name: str
    feeds: dict[str, NDArray[Any]]
    exact: dict[str, Exact]
    limits: dict[str, Exact]


def generations(reference: TaskReference) -> Iterator[TextCase]:
    """Text cases over all settings, batch sizes, prompt lengths and initial states."""
    assert reference.vocabulary is not None
    model, rng = reference.model, np.random.default_rng(_SEED)
    points = tuple(map(ord, reference.vocabulary))

    def case(
        name: str,
        batch: int,
        read: int,
        steps: int,
        given: Sampling,
        meant: Sampling | None = None,
        start: State | None = None,
        prompt: NDArray[np.int64] | None = None,
        uniform: NDArray[np.float32] | None = None,
    ) -> TextCase:
        prompt = reference.given(batch, read).astype(np.int64) if prompt is None else prompt
        numbers = rng.random((batch, steps), np.float32) if uniform is None else uniform
        state = reference.zero_state(batch) if start is None else start
        text, draws, after = generate(reference, model, prompt, numbers, meant or given, state)
        all_read, exact = np.concatenate([prompt, text], axis=1), state.astype(np.float64)
        if all_read.shape[1]:
            exact = step(reference.exact, all_read, state)[1]
        limits = allowed(exact, own_error(exact, [after]))
        feeds: dict[str, NDArray[Any]] = {
            PROMPT: prompt,
            UNIFORM: numbers,
            TEMPERATURE: np.array(given.temperature, np.float32),
            TOP_K: np.array(given.top_k),
            TOP_P: np.array(given.top_p, np.float32),
            STATE: state,
        }
        return TextCase(name, feeds, text, draws, exact, limits, points)

    for name, settings in SETTINGS.items():
        yield case(name, 1, _READ, LENGTH, settings)
    for batch, read in ((1, 1), (3, 7), (32, 2)):
        yield case("batches and lengths", batch, read, _SHORT, SETTINGS["all filters"])
    carried = _carried(reference)
    yield case("empty prompt", 2, 0, _SHORT, Sampling())
    yield case("empty prompt, carried state", 3, 0, _SHORT, Sampling(), start=carried)
    yield case("carried state", 3, 5, _SHORT, Sampling(), start=carried)
    yield case("no steps", 2, 5, 0, Sampling())
    strange = outside(reference.given(2, 6), reference.vocabulary).astype(np.int64)
    yield case("unknown characters", 2, 6, _SHORT, Sampling(), prompt=strange)
    beyond = np.array([[-1.0, 1.0, 2.0, -0.0, np.inf, -np.inf] * 4], np.float32)
    yield case("numbers outside [0, 1)", 1, 3, 24, Sampling(), uniform=beyond)
    for name, (given, meant) in _ODD.items():
        yield case(name, 1, 3, _SHORT, given, meant)


def _carried(reference: TaskReference) -> State:
    """The state of three streams after the beginning of the data."""
    return step(reference.model, reference.given(3, _READ), reference.zero_state(3))[1]


def forecasts(reference: TaskReference, spread: Sequence[float]) -> Iterator[ForecastCase]:
    """Forecast cases of several sizes and initial states.

    ``spread`` holds the standard deviation of the noise, one for each target.
    """
    twin, rng, carried = reference.exact, np.random.default_rng(_SEED), _carried(reference)
    for name, batch, read, steps, samples, start in (
        ("forecast", 1, _READ, 100, 0, None),
        ("forecast with samples", 3, _READ, _SHORT, 5, None),
        ("one step", 1, 1, 1, 1, None),
        ("empty history", 2, 0, _SHORT, 2, None),
        ("carried state", 3, 5, _SHORT, 2, carried),
        ("no steps", 2, 5, 0, 2, None),
    ):
        history = reference.given(batch, read).astype(np.float32)
        noise = rng.normal(size=(batch, samples, steps)).astype(np.float32)
        state = reference.zero_state(batch) if start is None else start

        def outputs(
            model: Model,
            given: tuple[NDArray[np.float32], NDArray[np.float32], State] = (history, noise, state),
        ) -> dict[str, Exact]:
            values, after = forecast(reference, model, *given[:2], spread, given[2])
            return {FORECAST: values[:, 0], PATHS: values[:, 1:], NEXT_STATE: after[:, 0]}

        exact = outputs(twin)
        limits = {name: allowed(y64, 0.0) for name, y64 in exact.items()}
        for signs in (repeat(1.0), repeat(-1.0), random_signs()):
            strayed = outputs(OffBy(twin, FLOAT32, signs))
            limits = {
                name: np.maximum(limit, np.abs(strayed[name] - exact[name]))
                for name, limit in limits.items()
            }
        feeds = {HISTORY: history, STEPS: np.array(steps), NOISE: noise, STATE: state}
        yield ForecastCase(name, feeds, exact, limits)
