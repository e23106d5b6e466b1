"""The cases that every runtime is tested on, over any contract."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from pipeline.contract.tensors import Tensors
from pipeline.verify import Case, Reference, chained

BATCHES = (1, 3, 32)
MIDDLE, LONG = 333, 1000  # steps
TIMES: tuple[int, ...] = (1, 2, 7, 50, MIDDLE, LONG)
STREAM = 10_000  # steps of the one long stream
STREAM_PIECES = 500  # calls that the long stream is cut into, of 20 steps on average
_READ_BEFORE = 50  # steps that are read to reach a carried state
_SEED = 20_240_229
_CARRIED, _RANDOM = "whole, carried state", "whole, random state"


def make_cases(reference: Reference) -> Iterator[Case]:
    """The cases for ``reference``: sizes, initial, carried and random states, ways to cut.

    A model of whole sequences gets only the cases of one call that start from the initial state.
    Sizes that the contract does not allow are left out.
    """
    contract = reference.contract
    for case in _all_cases(reference) if contract.time else _single_steps(reference):
        rows, steps = reference.most_rows, reference.most_steps
        if (rows and case.batch > rows) or (steps and case.time > steps):
            continue
        if case.batch > 1 and contract.batch is None:
            continue
        if contract.states or (len(case.calls) == 1 and case.name not in (_CARRIED, _RANDOM)):
            yield case


def case_of(
    reference: Reference,
    name: str,
    inputs: Tensors,
    states: Tensors,
    cuts: Sequence[int] | None = None,
    **options: Any,
) -> Case:
    """A case: the ``inputs`` of a sequence, cut into ``cuts`` units of steps, from ``states``."""
    contract = reference.contract
    batch, time = reference.batch_of(inputs), contract.size(contract.time, inputs)
    steps = [reference.unit * cut for cut in cuts] if cuts else [time]
    return Case(name, contract.cut(inputs, steps), states, batch=batch, time=time, **options)


def _all_cases(reference: Reference) -> Iterator[Case]:
    """All cases, over batch sizes, lengths, states to start from, and ways to cut the sequence.

    A state is the initial one, or *carried* (that of the reference after some other steps), or
    random. A random state is reached by no input, so its cases are not of the task.
    """
    rng = np.random.default_rng(_SEED)
    case, initial = partial(case_of, reference), reference.initial

    def data(batch: int, time: int) -> Tensors:
        return reference.draw(batch, reference.unit * time, 0)

    def carried(batch: int) -> Tensors:
        return _carried(reference, batch)

    def random(batch: int) -> Tensors:
        return {
            name: rng.uniform(-1, 1, y.shape).astype(y.dtype) for name, y in initial(batch).items()
        }

    for batch in BATCHES:
        for time in TIMES:
            yield case("whole", data(batch, time), initial(batch))
    for batch, time in ((1, 7), (3, LONG), (32, MIDDLE)):
        yield case(_CARRIED, data(batch, time), carried(batch))
    if reference.any_state:
        for batch, time in ((1, LONG), (3, 50), (32, 1), (32, MIDDLE)):
            yield case(_RANDOM, data(batch, time), random(batch), of_the_task=False)
    for batch, time in ((1, MIDDLE), (3, LONG), (32, 50)):
        for state in (initial(batch), carried(batch)):
            yield case("random chunks", data(batch, time), state, _cuts(rng, time))
    for batch, time in ((1, MIDDLE), (3, 50), (32, 7)):
        yield case("single steps", data(batch, time), carried(batch), (1,) * time)
    for batch, time in ((3, 7), (32, 50)):
        order = tuple(map(int, rng.permutation(batch)))
        yield case("permuted batch", data(batch, time), carried(batch), order=order)
    if reference.strange is not None:
        for batch, time in ((1, 50), (3, MIDDLE)):
            changed = reference.strange.change(data(batch, time))
            for cuts in ((time,), _cuts(rng, time)):
                yield case(reference.strange.name, changed, initial(batch), cuts, of_the_task=False)
    pieces = _cuts(rng, STREAM, STREAM_PIECES)
    yield case("long stream", data(1, STREAM), initial(1), pieces, followed=True)


def _single_steps(reference: Reference) -> Iterator[Case]:
    """The cases of a model without a time axis, whose every call is one step."""
    rng = np.random.default_rng(_SEED)
    for batch in BATCHES:
        for name, states in (("one call", reference.initial(batch)), (_CARRIED, None)):
            calls = tuple(reference.pieces(batch, [1]))
            start = _carried(reference, batch) if states is None else states
            yield Case(name, calls, start, batch=batch)
    for batch, steps in ((1, LONG), (3, 50), (32, 7)):
        calls = tuple(reference.pieces(batch, [1] * steps))
        yield Case("chained calls", calls, reference.initial(batch), batch=batch, time=steps)
    for batch, steps in ((3, 7), (32, 2)):
        calls = tuple(reference.pieces(batch, [1] * steps))
        order = tuple(map(int, rng.permutation(batch)))
        start = _carried(reference, batch)
        yield Case("permuted batch", calls, start, order=order, batch=batch, time=steps)


def _carried(reference: Reference, batch: int) -> Tensors:
    """The states of the reference after some other steps of its data."""
    contract = reference.contract
    cuts = [_READ_BEFORE] if contract.time else [1] * _READ_BEFORE
    pieces = reference.pieces(batch, cuts, reference.elsewhere)
    last = chained(reference.model, contract, pieces, reference.initial(batch))[-1]
    return contract.carried(last)


def _cuts(rng: np.random.Generator, time: int, pieces: int = 10) -> tuple[int, ...]:
    """Lengths of up to ``pieces`` random pieces that make up ``time``."""
    count = min(pieces, time) - 1
    ends = np.sort(rng.choice(np.arange(1, time), size=count, replace=False))
    return tuple(map(int, np.diff([0, *ends, time])))
