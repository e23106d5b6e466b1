"""A case, and how a model is run on it: chained calls that pass the state on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from pipeline.contract.law import Array
from pipeline.contract.tensors import Contract, Tensors


class Model(Protocol):
    """A model that can be called: a runtime, eager PyTorch, or its float64 copy."""

    def call(self, inputs: Mapping[str, Array], /) -> Sequence[Array]:
        """One call: inputs are in the order of the contract, and so are the returned outputs."""


@dataclass(frozen=True)
class Case:
    """The inputs of one call or of several chained calls.

    ``calls`` hold all inputs but the states; ``start`` holds the states of the first call. With an
    ``order``, the rows of the batch are permuted before the call and put back after it. ``batch``
    and ``time`` are for the record. If the case is ``followed``, the record holds the errors along
    the sequence. A case that is not ``of_the_task`` has inputs or states that the task never gives.
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
    """The outputs of each call; the states that come out of one call go into the next."""
    results: list[Tensors] = []
    state: Mapping[str, Array] = start
    for given in calls:
        found = contract.named(model.call(in_order(contract, {**given, **state})))
        state = contract.carried(found)
        results.append(found)
    return results


def in_order(contract: Contract, given: Mapping[str, Array]) -> Tensors:
    """All inputs of a call, in the order of the contract, each contiguous in memory."""
    return {spec.name: np.asarray(given[spec.name], order="C") for spec in contract.inputs}


def replay(model: Model, contract: Contract, case: Case) -> list[Tensors]:
    """The results of ``model`` for ``case``, one for each call.

    If the contract has a time axis, they are joined to one result: outputs along the time axis, and
    the states of the last call.
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
