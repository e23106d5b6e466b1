"""The interface of a runtime, as the validator uses it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from pipeline.cells import BY_OPERATOR
from pipeline.contract.law import Array, Exact, Precision
from pipeline.network_tensors import INPUT, STATE
from pipeline.verify import Model

Input = NDArray[np.float32] | NDArray[np.int64]
State = NDArray[np.float32]
Result = TypeVar("Result")
CALLED = "called"  # sent by the process of a runtime while it works, so that it does not seem hung


class Runtime(Protocol):
    """A runtime that has opened an exported model and can call it."""

    format: str
    """The file format that it runs."""
    name: str
    """Its name and version."""
    provider: str
    """The provider that it was asked to run on."""
    home: str
    """The name of that provider in the runtime's own profile."""
    precision: Precision = "float32"
    """The precision that it computes in; its tensors may have another type."""
    note: str = ""
    """A note for readers of its results."""

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of the model, with inputs and outputs in the order of its contract."""

    def run(self, input: Input, state: State) -> tuple[State, State]:
        """One call of a built-in network: output ``[batch, time, …]`` and next state.

        If the network has no state, both states are ``[batch, 0, hidden]``.
        """
        return step(self, input, state)

    def do(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """The result of ``work(runtime, *arguments)``, which may make many calls.

        A runtime in another process does the work there, so ``work`` must be picklable.
        """
        return work(self, *arguments)

    def placement(self) -> dict[str, str]:
        """The provider that each recurrent node ran on; empty if the runtime has only one."""
        return {}


def step(model: Model, input: Input | Exact, state: State | Exact) -> tuple[Array, Array]:
    """One call of a built-in network, as :meth:`Runtime.run` is."""
    return results(model.call(feeds(input, state)), state)


def feeds(input: Input | Exact, state: State | Exact) -> dict[str, NDArray[Any]]:
    """The inputs of a file by name; a state without rows is left out."""
    given = {INPUT: input, STATE: state} if state.shape[1] else {INPUT: input}
    return {name: np.ascontiguousarray(array) for name, array in given.items()}


def results(found: Sequence[Any], state: Array) -> tuple[Array, Array]:
    """Output and next state from the outputs of a file; a state without rows is returned as it is.

    Raises:
        ValueError: the file has more outputs, or fewer.
    """
    output, next_state = found if state.shape[1] else (*found, state)
    return output, next_state


@dataclass(frozen=True)
class Layer:
    """The properties of a recurrent node that decide whether a runtime can run it."""

    operator: str
    relu: bool
    bidirectional: bool


def layers_of(model: onnx.ModelProto) -> list[Layer]:
    """The recurrent nodes of a graph, in order."""
    layers = []
    for node in model.graph.node:
        if node.op_type in BY_OPERATOR:
            found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            relu = any(name.lower() == b"relu" for name in found.get("activations", ()))
            layers.append(Layer(node.op_type, relu, found.get("direction") == b"bidirectional"))
    return layers


class RuntimeProcessError(Exception):
    """The error of a runtime in a process of its own, or how that process ended, on one line."""


@dataclass(frozen=True)
class Facts:
    """The properties of a runtime, as its process sends them."""

    format: str
    name: str
    provider: str
    home: str
    precision: Precision
    note: str

    @classmethod
    def of(cls, runtime: Runtime) -> "Facts":
        """The properties of ``runtime``."""
        return cls(**{field.name: getattr(runtime, field.name) for field in fields(cls)})


@dataclass(frozen=True)
class Absent:
    """A runtime that cannot run here; ``reason`` says why, and how to install it."""

    format: str
    name: str
    provider: str
    reason: str


@dataclass(frozen=True)
class Refused(Absent):
    """A runtime that is installed and could not open the model."""


@dataclass(frozen=True)
class Unsafe(Absent):
    """A runtime that is installed and was not given the file, which is code that is not trusted."""
