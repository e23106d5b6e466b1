"""What the validator needs to know of a runtime."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from pipeline.cells import BY_OPERATOR
from pipeline.contract.law import Array, Exact, Precision
from pipeline.signature import INPUT, STATE

Input = NDArray[np.float32] | NDArray[np.int64]
State = NDArray[np.float32]
Result = TypeVar("Result")
CALLED = "called"  # what the process of a runtime sends before it is done, so as not to seem hung


class Runtime(Protocol):
    """Something that can call an exported model."""

    format: str
    """The file format that it runs."""
    name: str
    """Its name and version."""
    provider: str
    """Where it was asked to run."""
    home: str
    """What the runtime itself calls that place in its profile."""
    precision: Precision = "float32"
    """What it computes in, whatever type its tensors have."""
    note: str = ""
    """What a reader of its results must know."""

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of the file, inputs and outputs in the order of its contract."""

    def run(self, input: Input, state: State) -> tuple[State, State]:
        """One call of a built-in network: output ``[batch, time, …]`` and next state.

        Of a network without a state, both states are ``[batch, 0, hidden]``.
        """
        return results(self.call(feeds(input, state)), state)

    def do(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """What ``work`` gives for this runtime and ``arguments``, of many calls and at one go.

        A runtime in another process calls itself there, so ``work`` is a function of a module.
        """
        return work(self, *arguments)

    def placement(self) -> dict[str, str]:
        """On which provider every recurrent node of the last profile ran; empty if there is
        but one place."""
        return {}


def feeds(input: Input | Exact, state: State | Exact) -> dict[str, NDArray[Any]]:
    """The inputs of a file by name; a state of no rows is not among them."""
    given = {INPUT: input, STATE: state} if state.shape[1] else {INPUT: input}
    return {name: np.ascontiguousarray(array) for name, array in given.items()}


def results(found: Sequence[Any], state: Array) -> tuple[Array, Array]:
    """Output and next state from what a file gives; no state is followed by the same.

    Raises:
        ValueError: the file gives more, or less.
    """
    output, next_state = found if state.shape[1] else (*found, state)
    return output, next_state


@dataclass(frozen=True)
class Layer:
    """What is to be known of a recurrent node, for runtimes that cannot run every one."""

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
    """What a runtime in a process of its own threw, or how that process ended, on one line."""


@dataclass(frozen=True)
class Facts:
    """What a runtime says of itself."""

    format: str
    name: str
    provider: str
    home: str
    precision: Precision
    note: str

    @classmethod
    def of(cls, runtime: Runtime) -> "Facts":
        """The facts of ``runtime``."""
        return cls(**{field.name: getattr(runtime, field.name) for field in fields(cls)})


@dataclass(frozen=True)
class Absent:
    """A runtime that cannot run here, why, and how to get it."""

    format: str
    name: str
    provider: str
    reason: str


@dataclass(frozen=True)
class Refused(Absent):
    """A runtime that is here and could not open the model."""


@dataclass(frozen=True)
class Unsafe(Absent):
    """A runtime that is here and was not given the file, which is code of nobody knows whom."""
