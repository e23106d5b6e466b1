"""The truth of a case: what the reference says in float64, and how far its float32 is from that."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.contract.law import ILL_CONDITIONED, nudged, own_error
from pipeline.contract.tensors import Contract, Tensors
from pipeline.verify.case import Case, Model, chained

_STREAMS = 32  # about so many say what the reference's own error is, where they fit into a batch
_RUNS = 8  # or so many, where each is a run of its own


@dataclass(frozen=True)
class Answer:
    """What the reference says to a case: in float32 (``expected``) and in float64 (``exact``).

    There is one result where a sequence may be cut, for the whole of it, and else one for each
    call. ``own`` is the largest error of the reference's float32, by the outputs' names.

    ``contract`` and ``case`` are what every model is to be put through. They are those that were
    asked, but in an ill-conditioned case: there they are single steps that do not depend on each
    other, each from the state that the reference had, so that a state is an input like others.
    Without states there are no steps, and the own error of the reference is all that is allowed.
    """

    contract: Contract
    case: Case
    expected: list[Tensors]
    exact: list[Tensors]
    own: dict[str, float]
    states: frozenset[str]  # those outputs that are states
    ill_conditioned: bool = False

    @property
    def proves_nothing(self) -> bool:
        """Whether the reference's float32 itself is too far off."""
        return max(self.own.values()) > ILL_CONDITIONED


def answer(
    contract: Contract, case: Case, reference: Model, twin: Model | None, runs: int = _RUNS
) -> Answer:
    """The answer of ``reference`` to ``case``.

    ``twin`` is the same in float64; without one the reference is its own truth. So many ``runs``
    from nudged inputs say what its own error is, where the batch cannot hold them.
    """
    found = _answered(contract, case, reference, twin)
    if twin is None:
        return found
    found = replace(found, own=own_errors(found, reference, runs=runs))
    if not found.proves_nothing:
        return found
    if not contract.states:
        return replace(found, ill_conditioned=True)
    steps = _steps(contract, case, reference)
    alone = replace(contract, states=(), time=None)
    found = replace(
        _answered(alone, steps, reference, twin), ill_conditioned=True, states=found.states
    )
    return replace(found, own=own_errors(found, reference))


def own_errors(
    answer: Answer, reference: Model, eps: float | None = None, runs: int = _RUNS
) -> dict[str, float]:
    """The largest errors of ``reference`` itself, by the outputs' names, in any of many runs.

    In a network that amplifies rounding, one run can come close to the truth by luck. So the case
    is also run from nudged states and inputs; over a stream that is long enough to be followed, and
    over single steps, luck does not last. ``eps`` is how the reference rounds a number near one, if
    not as the type of its inputs does.
    """
    contract, case = answer.contract, answer.case
    calls = _whole(contract, case)
    several = [chained(reference, contract, calls, case.start)]
    if not case.followed and not answer.ill_conditioned:
        if contract.time and contract.batch:
            several += _side_by_side(contract, case, calls[0], reference, eps)
        else:
            for seed in range(runs):
                off, (start,) = _nudged(calls, eps, seed), _nudged([case.start], eps, seed)
                several.append(chained(reference, contract, off, start))
    return {
        name: max(
            own_error(truth[name].astype(np.float64), [run[call][name] for run in several])
            for call, truth in enumerate(answer.exact)
        )
        for name in answer.exact[0]
    }


def _answered(contract: Contract, case: Case, reference: Model, twin: Model | None) -> Answer:
    """The answer as it is, its own error not yet known."""
    calls = _whole(contract, case)
    expected = chained(reference, contract, calls, case.start)
    exact = chained(twin, contract, calls, case.start) if twin else expected
    none = dict.fromkeys(expected[0], 0.0)
    return Answer(contract, case, expected, exact, none, contract.next_states)


def _whole(contract: Contract, case: Case) -> tuple[Tensors, ...]:
    """The calls of a case, in one where a sequence may be cut."""
    return (contract.joined(case.calls, contract.time),) if contract.time else case.calls


def _side_by_side(
    contract: Contract, case: Case, inputs: Tensors, reference: Model, eps: float | None
) -> Iterator[list[Tensors]]:
    """Runs from nudged states, which are rows of one batch; none where there are no states."""
    copies = _STREAMS // case.batch - 1
    if copies < 1 or not contract.states:
        return
    rows = [*range(case.batch)] * copies
    (start,) = _nudged([contract.rows(case.start, rows)], eps)
    (result,) = chained(reference, contract, [contract.rows(inputs, rows)], start)
    for first in range(0, len(rows), case.batch):
        yield [contract.rows(result, range(first, first + case.batch))]


def _nudged(calls: Sequence[Tensors], eps: float | None, seed: int = 0) -> list[Tensors]:
    return [{name: nudged(y, eps, seed) for name, y in call.items()} for call in calls]


def _steps(contract: Contract, case: Case, reference: Model) -> Case:
    """Every step, or call, with the state that the reference has there, as calls of their own.

    Where the rows of a batch are independent, the steps are rows of one call.
    """
    calls = case.calls
    if contract.time:
        calls = contract.cut(_whole(contract, case)[0], [1] * case.time)
    results = chained(reference, contract, calls[:-1], case.start)
    states = [{before: found[after] for before, after in contract.states} for found in results]
    given = [{**call, **state} for call, state in zip(calls, [case.start, *states], strict=True)]
    if contract.time and contract.batch:
        given = [contract.joined(given, contract.batch)]
    return replace(case, calls=tuple(given), start={}, order=None)
