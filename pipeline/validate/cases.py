"""The cases that every runtime is put through, with PyTorch's answers to them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.bundle.golden import outside, streams
from pipeline.runtimes.base import Exact, Input, Runtime, State
from pipeline.runtimes.pytorch import PyTorch, Twin
from pipeline.signature import ILL_CONDITIONED

BATCHES = (1, 3, 32)
TIMES = (1, 2, 7, 50, 333, 1000)
_READ_BEFORE = 50  # steps that lead to a carried state
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

    ``own_output`` and ``own_state`` are the largest errors of PyTorch's own float32.

    An ill-conditioned case is compared step by step instead: ``steps`` then holds the input and
    the state of each step, every step as a stream of its own, and the results are theirs.
    """

    output32: State
    state32: State
    output64: Exact
    state64: Exact
    own_output: float
    own_state: float
    steps: tuple[Input, State] | None = None


def make_cases(source: Input, vocabulary: str | None, pytorch: PyTorch) -> Iterator[Case]:
    """The cases for inputs drawn from ``source`` ``[time, …]``.

    States are zeros, or *carried*: where PyTorch stood after some other steps of ``source``, or
    random ones that no input leads to. Those with random states are not of the task.
    """
    rng = np.random.default_rng(_SEED)

    def zeros(batch: int) -> State:
        return pytorch.network.zero_state(batch).numpy()

    def carried(batch: int) -> State:
        return pytorch.run(
            streams(source, batch, _READ_BEFORE, start=len(source) // 2), zeros(batch)
        )[1]

    def random(batch: int) -> State:
        return rng.uniform(-1, 1, zeros(batch).shape).astype(np.float32)

    for batch in BATCHES:
        for time in TIMES:
            yield Case("whole", streams(source, batch, time), zeros(batch), (time,))
    for batch, time in ((1, 7), (3, 1000), (32, 333)):
        yield Case("whole, carried state", streams(source, batch, time), carried(batch), (time,))
    for batch, time in ((1, 1000), (3, 50), (32, 1), (32, 333)):
        given = streams(source, batch, time)
        yield Case("whole, random state", given, random(batch), (time,), of_the_task=False)
    for batch, time in ((1, 333), (3, 1000), (32, 50)):
        for state in (zeros(batch), carried(batch)):
            yield Case("random chunks", streams(source, batch, time), state, _cuts(rng, time))
    for batch, time in ((1, 333), (3, 50), (32, 7)):
        yield Case("single steps", streams(source, batch, time), carried(batch), (1,) * time)
    for batch, time in ((3, 7), (32, 50)):
        order = tuple(map(int, rng.permutation(batch)))
        yield Case("permuted batch", streams(source, batch, time), carried(batch), (time,), order)
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


def replay(runtime: Runtime, case: Case) -> tuple[State, State]:
    """The runtime's output and last state, called piece by piece with the state carried on."""
    input, state = case.input, case.state
    if case.order is not None:
        input, state = input[list(case.order)], state[list(case.order)]
    outputs, start = [], 0
    for length in case.cuts:
        output, state = runtime.run(input[:, start : start + length], state)
        outputs.append(output)
        start += length
    whole = np.concatenate(outputs, axis=1)
    if case.order is not None:
        back = np.argsort(case.order)
        return whole[back], state[back]
    return whole, state


def answer(case: Case, pytorch: PyTorch, twin: Twin) -> Answer:
    """PyTorch's answers to ``case``, and its own error, which is the largest of three runs.

    In a network that amplifies rounding, one run can come close to the truth by luck. So the
    sequence is also run in the pieces of the case, and from a state that is nudged by the
    rounding error of a float32 near one.
    """
    output32, state32 = pytorch.run(case.input, case.state)
    output64, state64 = twin.run(case.input, case.state)
    nudge = np.finfo(np.float32).eps * np.random.default_rng(_SEED).choice(
        [-1, 1], case.state.shape
    )
    nudged = (case.state + nudge).astype(np.float32)
    runs = [(output32, state32), replay(pytorch, case), pytorch.run(case.input, nudged)]
    own_output = max(float(np.abs(output - output64).max()) for output, _ in runs)
    own_state = max(float(np.abs(state - state64).max()) for _, state in runs)
    if max(own_output, own_state) <= ILL_CONDITIONED:
        return Answer(output32, state32, output64, state64, own_output, own_state)
    return _answer_step_by_step(case, pytorch, twin)


def _answer_step_by_step(case: Case, pytorch: PyTorch, twin: Twin) -> Answer:
    batch, time = case.input.shape[:2]
    states = [case.state]
    for step in range(time - 1):
        states.append(pytorch.run(case.input[:, step : step + 1], states[-1])[1])
    flat_input = case.input.reshape(batch * time, 1, *case.input.shape[2:])
    flat_state = np.stack(states, axis=1).reshape(batch * time, *case.state.shape[1:])
    output32, state32 = pytorch.run(flat_input, flat_state)
    output64, state64 = twin.run(flat_input, flat_state)
    return Answer(
        output32,
        state32,
        output64,
        state64,
        own_output=float(np.abs(output32 - output64).max()),
        own_state=float(np.abs(state32 - state64).max()),
        steps=(flat_input, flat_state),
    )
