"""What a model is tried on, and how it is called: chained calls, the state carried on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from pipeline.contract.law import Array
from pipeline.contract.tensors import Contract, Tensors


class Model(Protocol):
    """Anything that can be called: a runtime, eager PyTorch, its float64 copy."""

    def call(self, inputs: Mapping[str, Array], /) -> Sequence[Array]:
        """One call: the inputs come, and the outputs go, in the order of the contract."""


@dataclass(frozen=True)
class Case:
    """Inputs of one call or of several, from one state on.

    ``calls`` have all inputs but the states, and ``start`` has those of the first call. The rows of
    the batch are given in ``order`` and put back. ``batch`` and ``time`` are for the record. Where
    the case is ``followed``, the record tells the errors all along.
    """

    name: str
    calls: tuple[Tensors, ...]
    start: Tensors = field(default_factory=dict)
    order: tuple[int, ...] | None = None
    of_the_task: bool = True
    followed: bool = False
    batch: int = 1
    time: int = 1


def chained(
    model: Model, contract: Contract, calls: Sequence[Tensors], start: Tensors
) -> list[Tensors]:
    """The outputs of each call, the states of every next one being those that came out."""
    results: list[Tensors] = []
    state: Mapping[str, Array] = start
    for given in calls:
        found = contract.named(model.call(in_order(contract, {**given, **state})))
        state = {before: found[after] for before, after in contract.states}
        results.append(found)
    return results


def in_order(contract: Contract, given: Mapping[str, Array]) -> Tensors:
    """All inputs of a call, in the order of the contract, each contiguous in memory."""
    return {spec.name: np.asarray(given[spec.name], order="C") for spec in contract.inputs}


def replay(model: Model, contract: Contract, case: Case) -> list[Tensors]:
    """What ``model`` gives for ``case``: one result for each call.

    Where a sequence may be cut, it is one result for all calls: outputs joined along the time, and
    the last states.
    """
    calls, start = case.calls, case.start
    if case.order is not None:
        calls = tuple(contract.rows(call, case.order) for call in calls)
        start = contract.rows(start, case.order)
    results = chained(model, contract, calls, start)
    if contract.time:
        results = [contract.joined(results, contract.time)]
    if case.order is not None:
        back = np.argsort(case.order).tolist()
        results = [contract.rows(result, back) for result in results]
    return results
