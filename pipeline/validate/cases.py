"""The cases that every runtime is put through, with PyTorch's answers to them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.bundle.golden import outside, streams
from pipeline.runtimes.base import Exact, Input, State
from pipeline.runtimes.pytorch import PyTorch, Twin

BATCHES = (1, 3, 32)
TIMES = (1, 2, 7, 50, 333, 1000)
_ILL_CONDITIONED = 1e-3  # PyTorch's own float32 this far from its float64 twin
_SEED = 20_240_229


@dataclass(frozen=True)
class Case:
    """One input from one state; the runtime gets it in pieces of ``cuts``, rows in ``order``."""

    name: str
    input: Input
    state: State
    cuts: tuple[int, ...]
    order: tuple[int, ...] | None = None
    of_the_task: bool = True


@dataclass(frozen=True)
class Answer:
    """What PyTorch says to a case, in float32 and in float64, over the whole sequence at once.

    For an ill-conditioned case the comparison is step by step instead: ``steps_input`` and
    ``steps_state`` hold each step of each stream as a stream of its own, and the four results
    are those of these single steps.
    """

    output32: State
    state32: State
    output64: Exact
    state64: Exact
    steps: tuple[Input, State] | None = None


def make_cases(
    source: Input, vocabulary: str | None, state_shape: tuple[int, int]
) -> Iterator[Case]:
    """The cases for inputs drawn from ``source`` ``[time, …]``, with states ``[S, hidden]``."""
    rng = np.random.default_rng(_SEED)

    def zeros(batch: int) -> State:
        return np.zeros((batch, *state_shape), np.float32)

    def random(batch: int) -> State:
        return rng.uniform(-1, 1, (batch, *state_shape)).astype(np.float32)

    for batch in BATCHES:
        for time in TIMES:
            yield Case("whole", streams(source, batch, time), zeros(batch), (time,))
    for batch, time in ((1, 7), (1, 1000), (3, 50), (32, 1), (32, 333)):
        yield Case("whole, random state", streams(source, batch, time), random(batch), (time,))
    for batch, time in ((1, 333), (3, 1000), (32, 50)):
        for state in (zeros(batch), random(batch)):
            yield Case("random chunks", streams(source, batch, time), state, _cuts(rng, time))
    for batch, time in ((1, 333), (3, 50), (32, 7)):
        yield Case("single steps", streams(source, batch, time), random(batch), (1,) * time)
    for batch, time in ((3, 7), (32, 50)):
        order = tuple(map(int, rng.permutation(batch)))
        yield Case("permuted batch", streams(source, batch, time), random(batch), (time,), order)
    strange = "unknown characters" if vocabulary is not None else "values far outside"
    for batch, time in ((1, 50), (3, 333)):
        changed = outside(streams(source, batch, time), vocabulary)
        for cuts in ((time,), _cuts(rng, time)):
            yield Case(strange, changed, zeros(batch), cuts, of_the_task=False)


def _cuts(rng: np.random.Generator, time: int) -> tuple[int, ...]:
    """Lengths of up to ten random pieces that make up ``time``."""
    count = min(9, time - 1)
    ends = np.sort(rng.choice(np.arange(1, time), size=count, replace=False))
    return tuple(map(int, np.diff([0, *ends, time])))


def answer(case: Case, pytorch: PyTorch, twin: Twin) -> Answer:
    """PyTorch's answers to ``case``."""
    output32, state32 = pytorch.run(case.input, case.state)
    output64, state64 = twin.run(case.input, case.state)
    own = max(np.abs(output32 - output64).max(), np.abs(state32 - state64).max())
    if own <= _ILL_CONDITIONED:
        return Answer(output32, state32, output64, state64)
    batch, time = case.input.shape[:2]
    states = [case.state]
    for step in range(time - 1):
        states.append(pytorch.run(case.input[:, step : step + 1], states[-1])[1])
    flat_input = case.input.reshape(batch * time, 1, *case.input.shape[2:])
    flat_state = np.stack(states, axis=1).reshape(batch * time, *case.state.shape[1:])
    return Answer(
        *pytorch.run(flat_input, flat_state),
        *twin.run(flat_input, flat_state),
        steps=(flat_input, flat_state),
    )
