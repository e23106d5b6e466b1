"""State made explicit: a module that remembers becomes a pure function of inputs and states.

:func:`explicit` takes a module as its author uses it, call by call, and makes a module of it with
``forward(*inputs, *states)`` that gives ``(*outputs, *next_states)``. This is how, step by step:

1. ``arguments`` makes one list of the tensors that ``forward`` is called with, and gives each a
   name. ``supply`` gives zeros for a state that ``forward`` would take, and that was left out
   (``h=None``), if these give the same.
2. ``kept_search`` calls a copy of the module twice and looks at every attribute, buffer and
   parameter before, between and after. What is written, and is read by the next call, is a state;
   what is never read is not, and neither is a flag that the first call sets for good. The initial
   value is that before the first call. Where there was none, as with ``self.h = None``, it is the
   first of some likely ones (zeros, what ``forward`` itself assigns first, ones, a parameter) with
   which the first call gives the same.
3. ``layers`` follows the calls of recurrent layers and cells. A layer that is called without a
   state, or with one that does not depend on the inputs, begins a chain; calls that are given the
   tensors of the call before go on with it. The beginning of a chain becomes an input, and its end
   an output. ``indices`` lets counters of a ring buffer be tensors.
4. ``pairs`` pairs arguments with results of the same type and shape: as they are told, or by their
   names, or by trying.
5. ``pure`` puts it together. Before ``forward`` of the copy runs, the kept states are put where it
   looks for them, and hooks of the layers hand over theirs; after it, the next states are read and
   everything is put back. The layers are not replaced, so the export still makes one node of each.
6. ``starts`` says what each state begins with, and in which axes, or parts of axes, its batch may
   be. ``search`` tries these by calls at other sizes, and ``specs`` makes the contract.
7. ``proof`` compares: the pure module with the user's in eager PyTorch, pieces and single steps
   with the whole sequence, rows of a batch with each alone. If that fails, the next candidates are
   tried; if none is left, ``divergence`` finds the submodule that gives other numbers though it is
   given the same ones, and the module is refused by its name.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.contract.law import Array
from pipeline.contract.tensors import Contract, Tensors
from pipeline.errors import UsageError
from pipeline.export.module.copying import working_copy
from pipeline.export.module.example import Axes
from pipeline.export.state.arguments import NamedArguments, eagerly
from pipeline.export.state.proof import doubled
from pipeline.export.state.pure import Pure, State
from pipeline.export.state.search import Search
from pipeline.export.state.supply import supplied

__all__ = ["Described", "Explicit", "eagerly", "explicit"]

_SHOWN = 4  # numbers of an initial value that is no constant


@dataclass(frozen=True)
class Described:
    """A row of the table of states: where each lives, and what it begins with."""

    name: str
    where: str
    type: str
    shape: str
    initial: str


@dataclass(frozen=True)
class Explicit:
    """A module as a pure function, with all that is known of its tensors.

    ``module`` takes the tensors of ``example`` in their order, and gives the outputs of
    ``contract``. ``initial`` has, for each state, a number that fills it, or an array that
    broadcasts to it: along the axis of the batch, it has one row.
    """

    module: Pure
    example: dict[str, Tensor]
    contract: Contract
    initial: dict[str, float | int | bool | Array]
    states: tuple[State, ...]

    @property
    def described(self) -> tuple[Described, ...]:
        """The states in the words of a table."""
        shapes = {spec.name: spec for spec in self.contract.inputs}
        return tuple(
            Described(
                state.name,
                state.where,
                shapes[state.name].type,
                f"[{', '.join(map(str, shapes[state.name].shape))}]",
                _in_words(self.initial[state.name]),
            )
            for state in self.states
        )

    @property
    def module_in_float64(self) -> Pure | None:
        """A copy of ``module`` that computes in float64; None if it cannot."""
        given = [y.double() if y.is_floating_point() else y for y in self.example.values()]
        with suppress(Exception), eagerly(self.module):  # a module may refuse for any reason
            twin = doubled(self.module)
            if all(y.dtype == torch.double for y in twin(*given) if y.is_floating_point()):
                return twin
        return None

    @property
    def axes(self) -> dict[str, dict[int, str]]:
        """The dynamic axes of inputs and outputs, as ``export_onnx`` takes them."""
        return {
            spec.name: {k: size for k, size in enumerate(spec.shape) if isinstance(size, str)}
            for spec in (*self.contract.inputs, *self.contract.outputs)
        }

    def start(self, batch: int = 1) -> Tensors:
        """The initial states for ``batch`` rows."""
        return {state.name: state.at(batch).numpy() for state in self.states}


def explicit(
    module: nn.Module,
    args: Any,
    kwargs: Mapping[str, Any] | None = None,
    *,
    axes: Axes,
    states: Literal["auto", "none"] | Mapping[str, str | int] = "auto",
    batch: str = "batch",
    time: str = "time",
) -> Explicit:
    """``module`` as a pure function, with its states among the inputs and outputs.

    The module itself is left as it was.

    Args:
        module: any module; it is taken as it is in ``eval()``, with what it keeps now as the
            initial values of its states.
        args: what ``forward`` is called with: an argument, or a sequence of them.
        kwargs: arguments by name.
        axes: the dynamic axes of each input, by its name: ``{"x": {0: "batch", 1: "time"}}``. That
            of states is found.
        states: ``auto`` finds the states; ``{"h": "h_next"}`` tells which argument goes with which
            result (its name, or its number), and the others are found; ``none`` takes the module
            from its initial state at every call, for whole sequences.
        batch: the name of the axis whose rows are independent of each other.
        time: the name of the axis along which a sequence may be cut, if there is one.

    Raises:
        MalformedError: the module fails in PyTorch, draws random numbers, or gives other numbers
            when a sequence comes in pieces; says which submodule, and why.
        UsageError: axes or states do not fit the module.
    """
    if isinstance(states, str) and states not in ("auto", "none"):
        raise UsageError(f"states is '{states}'; it is auto, none, or argument: result")
    body = working_copy(module)
    name = getattr(module, "original_name", type(module).__name__)  # the former in TorchScript
    arguments = NamedArguments(body, args, kwargs)
    with eagerly(body):
        if states != "none":
            arguments = supplied(body, arguments, name)
        search = Search(body, arguments, axes, batch, time, name)
        if states == "none":
            found = search.whole()
        else:
            found = search.explicit(None if isinstance(states, str) else states)
    rows = search.draw.batch
    example = dict(zip(found.example.names, found.example.tensors, strict=True))
    found.pure.__class__ = type(name, (Pure,), {"__doc__": Pure.__doc__})  # in errors and graphs
    return Explicit(
        found.pure,
        example | {state.name: state.at(rows) for state in found.states},
        found.contract,
        {state.name: _initial(state.value) for state in found.states},
        found.states,
    )


def _initial(value: Tensor) -> float | int | bool | Array:
    """The one number that ``value`` is full of, or the array."""
    if value.numel() and bool((value == value.flatten()[0]).all()):
        number: float | int | bool = value.flatten()[0].item()
        return number
    array: Array = value.numpy()
    return array


def _in_words(value: float | int | bool | Array) -> str:
    if not isinstance(value, np.ndarray):
        return "zeros" if value == 0 and value is not False else str(value)
    some = ", ".join(f"{number:.4g}" for number in value.flatten()[:_SHOWN].tolist())
    return f"{some}, …" if value.size > _SHOWN else some
