"""The reference: the model that all others are compared with, and the inputs to compare on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config import SeriesModel, TextModel
from pipeline.contract.law import Array, Precision
from pipeline.contract.tensors import Contract, Tensors
from pipeline.network_tensors import INPUT, STATE
from pipeline.verify.case import Model

DrawInputs = Callable[[int, int, int], Tensors]
"""Inputs of a batch size and a number of steps, from a place in the data on."""


@dataclass(frozen=True)
class Strange:
    """A change of inputs to some that training never gave, and its name."""

    name: str
    change: Callable[[Tensors], Tensors]


@dataclass(frozen=True)
class Lesser:
    """A model in less than float32; ``eps`` is its rounding of numbers near one."""

    model: Model
    eps: float


@dataclass(frozen=True)
class Reference:
    """A model in float32 and in float64, the contract of both, and where their inputs come from.

    ``twin`` is the model in float64; if it is None, ``model`` itself counts as exact. ``draw``
    gives inputs, and ``initial`` the states that a number of streams start from. Steps are counted
    in units of ``unit``, the smallest piece that a sequence may be cut into, and there are at most
    ``most_steps`` and ``most_rows``. From the place ``elsewhere`` on, ``draw`` gives other data
    than from the beginning.

    ``any_state`` says whether every number between -1 and 1 is a state that the model can take.
    ``lesser`` gives models that compute in a precision below float32, each with other roundings.
    """

    contract: Contract
    model: Model
    twin: Model | None
    draw: DrawInputs
    initial: Callable[[int], Tensors]
    unit: int = 1
    most_steps: int | None = None
    most_rows: int | None = None
    elsewhere: int = 1_000_003
    any_state: bool = False
    strange: Strange | None = None
    lesser: Callable[[Precision], Sequence[Lesser]] | None = None

    @property
    def exact(self) -> Model:
        """The model whose results count as exact."""
        return self.model if self.twin is None else self.twin

    def pieces(self, batch: int, cuts: Sequence[int], start: int = 0) -> Sequence[Tensors]:
        """Inputs of chained calls: one sequence cut into ``cuts``, or so many calls of one step."""
        batch = batch if self.contract.batch else 1
        if self.contract.time is None:
            return [self.draw(batch, 1, start + place) for place in range(len(cuts))]
        steps = [self.unit * cut for cut in cuts]
        return self.contract.cut(self.draw(batch, sum(steps), start), steps)

    def batch_of(self, piece: Tensors) -> int:
        """The number of rows of the inputs of a call."""
        return self.contract.size(self.contract.batch, piece)


@dataclass(frozen=True, kw_only=True)
class TaskReference(Reference):
    """The reference of a network with a task, whose outputs may be its next inputs.

    ``config`` is its architecture, ``vocabulary`` None for a series. ``next_output`` computes the
    output that follows a state ``[batch, S, hidden]``, ``[batch, 1, …]``, in the type of the state;
    only networks that carry a state have one.
    """

    config: SeriesModel | TextModel
    vocabulary: str | None
    next_output: Callable[[Array], Array]

    def given(self, batch: int, time: int) -> Array:
        """The beginning of the data, as an input ``[batch, time, …]``."""
        return self.draw(batch, time, 0)[INPUT]

    def zero_state(self, batch: int) -> Array:
        """The state that starts ``batch`` streams; without rows where the network has none."""
        none = np.zeros((batch, 0, self.config.hidden_size), np.float32)
        return self.initial(batch).get(STATE, none)
