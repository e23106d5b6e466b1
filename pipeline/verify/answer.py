"""The answer to a case: the reference's float64 results, and the own error of its float32."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from pipeline.contract.law import ILL_CONDITIONED, nudged, own_error
from pipeline.contract.tensors import Contract, Tensors
from pipeline.errors import MalformedError
from pipeline.verify.case import Case, Model, chained

_ROWS = 32  # rows of the batch of nudged runs that the own error is taken from
_RUNS = 8  # nudged runs that it is taken from if they cannot be rows of one batch


@dataclass(frozen=True)
class Answer:
    """The results of the reference for a case, in float32 (``expected``) and float64 (``exact``).

    If the contract has a time axis, there is one result, for the whole sequence; otherwise there is
    one for each call. ``own`` is the own error of the reference's float32, for each output by name.

    ``contract`` and ``case`` are what every model is run on. They are those that were given, unless
    the case is ill-conditioned: then the case is single steps that do not depend on each other,
    each from the state that the reference had, and states are inputs like others. An
    ill-conditioned case without states is not taken apart; its limits follow from the own error.
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

    ``twin`` is the reference in float64. Without one, ``reference`` itself is taken as exact. The
    own error is the largest over nudged runs: rows of one batch, or else ``runs`` separate runs.
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
    """The own errors of ``reference``: for each output, by name, the largest over several runs.

    In a network that amplifies rounding, one run can come close to the truth by luck. So the case
    is also run from nudged states and inputs. A long stream that is followed, and single steps, are
    run once: over so many numbers, luck averages out. ``eps`` is the rounding of a number near one
    in the reference's precision, by default that of its inputs' type.
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
                with suppress(MalformedError):  # a module may refuse what is not 0 or 1
                    several.append(chained(reference, contract, off, start))
    return {
        name: max(
            own_error(truth[name].astype(np.float64), [run[call][name] for run in several])
            for call, truth in enumerate(answer.exact)
        )
        for name in answer.exact[0]
    }


def _answered(contract: Contract, case: Case, reference: Model, twin: Model | None) -> Answer:
    """The answer without its own error, which is set to 0."""
    calls = _whole(contract, case)
    expected = chained(reference, contract, calls, case.start)
    exact = chained(twin, contract, calls, case.start) if twin else expected
    none = dict.fromkeys(expected[0], 0.0)
    return Answer(contract, case, expected, exact, none, contract.next_states)


def _whole(contract: Contract, case: Case) -> tuple[Tensors, ...]:
    """The calls of a case, joined to one if the contract has a time axis."""
    return (contract.joined(case.calls, contract.time),) if contract.time else case.calls


def _side_by_side(
    contract: Contract, case: Case, inputs: Tensors, reference: Model, eps: float | None
) -> Iterator[list[Tensors]]:
    """The results of runs from nudged states, computed as rows of one batch.

    There are none if the contract has no states, or the batch of the case is too large.
    """
    copies = _ROWS // case.batch - 1
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
    """The case with every step, or every call, taken alone, from the state of the reference there.

    If the rows of a batch are independent, the steps become rows of one call.
    """
    calls = case.calls
    if contract.time:
        calls = contract.cut(_whole(contract, case)[0], [1] * case.time)
    results = chained(reference, contract, calls[:-1], case.start)
    states = [contract.carried(found) for found in results]
    given = [{**call, **state} for call, state in zip(calls, [case.start, *states], strict=True)]
    if contract.time and contract.batch:
        given = [contract.joined(given, contract.batch)]
    return replace(case, calls=tuple(given), start={}, order=None)
