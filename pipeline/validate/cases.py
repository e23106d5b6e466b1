"""The cases that every runtime is put through."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.bundle.golden import outside, streams
from pipeline.runtimes.base import Input, Runtime, State
from pipeline.runtimes.chain import chained
from pipeline.runtimes.pytorch import PyTorch

BATCHES = (1, 3, 32)
MIDDLE, LONG = 333, 1000  # steps
TIMES = (1, 2, 7, 50, MIDDLE, LONG)
STREAM = 10_000  # steps of the one long stream
STREAM_PIECES = 500  # calls in which it comes, of 20 steps on average
_READ_BEFORE = 50  # steps that lead to a carried state
_SEED = 20_240_229
_CARRIED, _RANDOM = "whole, carried state", "whole, random state"


@dataclass(frozen=True)
class Case:
    """One input from one state; the runtime gets it in pieces of ``cuts``, rows in ``order``.

    Where it is ``followed``, the record tells the errors all along.
    """

    name: str
    input: Input
    state: State
    cuts: tuple[int, ...]
    order: tuple[int, ...] | None = None
    of_the_task: bool = True
    followed: bool = False


def make_cases(source: Input, vocabulary: str | None, pytorch: PyTorch) -> Iterator[Case]:
    """The cases for inputs drawn from ``source`` ``[time, …]``, as far as they apply.

    A network of whole sequences has no state to start from, and nothing that can be cut.
    """
    for case in _all_cases(source, vocabulary, pytorch):
        if pytorch.network.signature.streams or (
            len(case.cuts) == 1 and case.name not in (_CARRIED, _RANDOM)
        ):
            yield case


def _all_cases(source: Input, vocabulary: str | None, pytorch: PyTorch) -> Iterator[Case]:
    """States are zeros, or *carried*: where PyTorch stood after some other steps of ``source``, or
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
    for batch, time in ((1, 7), (3, LONG), (32, MIDDLE)):
        yield Case(_CARRIED, streams(source, batch, time), carried(batch), (time,))
    for batch, time in ((1, LONG), (3, 50), (32, 1), (32, MIDDLE)):
        given = streams(source, batch, time)
        yield Case(_RANDOM, given, random(batch), (time,), of_the_task=False)
    for batch, time in ((1, MIDDLE), (3, LONG), (32, 50)):
        for state in (zeros(batch), carried(batch)):
            yield Case("random chunks", streams(source, batch, time), state, _cuts(rng, time))
    for batch, time in ((1, MIDDLE), (3, 50), (32, 7)):
        yield Case("single steps", streams(source, batch, time), carried(batch), (1,) * time)
    for batch, time in ((3, 7), (32, 50)):
        order = tuple(map(int, rng.permutation(batch)))
        yield Case("permuted batch", streams(source, batch, time), carried(batch), (time,), order)
    strange = "unknown characters" if vocabulary is not None else "values far outside"
    for batch, time in ((1, 50), (3, MIDDLE)):
        changed = outside(streams(source, batch, time), vocabulary)
        for cuts in ((time,), _cuts(rng, time)):
            yield Case(strange, changed, zeros(batch), cuts, of_the_task=False)
    pieces = _cuts(rng, STREAM, STREAM_PIECES)
    yield Case("long stream", streams(source, 1, STREAM), zeros(1), pieces, followed=True)


def _cuts(rng: np.random.Generator, time: int, pieces: int = 10) -> tuple[int, ...]:
    """Lengths of up to ``pieces`` random pieces that make up ``time``."""
    count = min(pieces, time) - 1
    ends = np.sort(rng.choice(np.arange(1, time), size=count, replace=False))
    return tuple(map(int, np.diff([0, *ends, time])))


def replay(runtime: Runtime, case: Case) -> tuple[State, State]:
    """The runtime's output and last state, called piece by piece with the state carried on."""
    input, state = case.input, case.state
    if case.order is not None:
        input, state = input[list(case.order)], state[list(case.order)]
    whole, state = runtime.do(chained, input, case.cuts, state)
    if case.order is not None:
        back = np.argsort(case.order)
        return whole[back], state[back]
    return whole, state
