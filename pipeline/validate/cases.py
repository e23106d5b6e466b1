"""The cases that every runtime of a built-in network is tested on."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from pipeline.contract.samples import cut_sequences, outside
from pipeline.runtimes.base import Input, State
from pipeline.runtimes.pytorch import PyTorch
from pipeline.signature import INPUT, STATE, Signature
from pipeline.verify import Case

BATCHES = (1, 3, 32)
MIDDLE, LONG = 333, 1000  # steps
TIMES: tuple[int, ...] = (1, 2, 7, 50, MIDDLE, LONG)
STREAM = 10_000  # steps of the one long stream
STREAM_PIECES = 500  # calls that the long stream is cut into, of 20 steps on average
_READ_BEFORE = 50  # steps that are read to reach a carried state
_SEED = 20_240_229
_CARRIED, _RANDOM = "whole, carried state", "whole, random state"


def make_cases(source: Input, vocabulary: str | None, pytorch: PyTorch) -> Iterator[Case]:
    """The cases for a network, with inputs cut from ``source`` ``[time, …]``.

    A network of whole sequences gets only the cases of one call that start from zeros.
    """
    for case in _all_cases(source, vocabulary, pytorch):
        if pytorch.network.signature.has_state or (
            len(case.calls) == 1 and case.name not in (_CARRIED, _RANDOM)
        ):
            yield case


def case_of(
    signature: Signature,
    name: str,
    source: Input,
    state: State,
    cuts: Sequence[int] | None = None,
    **options: Any,
) -> Case:
    """A case of a built-in network: ``source`` ``[batch, time, …]``, cut into ``cuts`` steps."""
    batch, time = source.shape[:2]
    calls = signature.contract.cut({INPUT: source}, cuts or [time])
    start = {STATE: state} if signature.has_state else {}
    return Case(name, calls, start, batch=batch, time=time, **options)


def _all_cases(source: Input, vocabulary: str | None, pytorch: PyTorch) -> Iterator[Case]:
    """All cases, over batch sizes, lengths, initial states and ways to cut the sequence.

    An initial state is zeros, or *carried* (PyTorch's state after some other steps of ``source``),
    or random. A random state is reached by no input, so its cases are not of the task.
    """
    rng = np.random.default_rng(_SEED)
    case = partial(case_of, pytorch.network.signature)

    def zeros(batch: int) -> State:
        return pytorch.network.zero_state(batch).numpy()

    def carried(batch: int) -> State:
        return pytorch.run(
            cut_sequences(source, batch, _READ_BEFORE, start=len(source) // 2), zeros(batch)
        )[1]

    def random(batch: int) -> State:
        return rng.uniform(-1, 1, zeros(batch).shape).astype(np.float32)

    for batch in BATCHES:
        for time in TIMES:
            yield case("whole", cut_sequences(source, batch, time), zeros(batch))
    for batch, time in ((1, 7), (3, LONG), (32, MIDDLE)):
        yield case(_CARRIED, cut_sequences(source, batch, time), carried(batch))
    for batch, time in ((1, LONG), (3, 50), (32, 1), (32, MIDDLE)):
        yield case(_RANDOM, cut_sequences(source, batch, time), random(batch), of_the_task=False)
    for batch, time in ((1, MIDDLE), (3, LONG), (32, 50)):
        for state in (zeros(batch), carried(batch)):
            yield case("random chunks", cut_sequences(source, batch, time), state, _cuts(rng, time))
    for batch, time in ((1, MIDDLE), (3, 50), (32, 7)):
        yield case("single steps", cut_sequences(source, batch, time), carried(batch), (1,) * time)
    for batch, time in ((3, 7), (32, 50)):
        order = tuple(map(int, rng.permutation(batch)))
        yield case(
            "permuted batch", cut_sequences(source, batch, time), carried(batch), order=order
        )
    strange = "unknown characters" if vocabulary is not None else "values far outside"
    for batch, time in ((1, 50), (3, MIDDLE)):
        changed = outside(cut_sequences(source, batch, time), vocabulary)
        for cuts in ((time,), _cuts(rng, time)):
            yield case(strange, changed, zeros(batch), cuts, of_the_task=False)
    pieces = _cuts(rng, STREAM, STREAM_PIECES)
    yield case("long stream", cut_sequences(source, 1, STREAM), zeros(1), pieces, followed=True)


def _cuts(rng: np.random.Generator, time: int, pieces: int = 10) -> tuple[int, ...]:
    """Lengths of up to ``pieces`` random pieces that make up ``time``."""
    count = min(pieces, time) - 1
    ends = np.sort(rng.choice(np.arange(1, time), size=count, replace=False))
    return tuple(map(int, np.diff([0, *ends, time])))
