"""A fault, and the copy of a graph that it is planted into."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

from pipeline.cells import BY_OPERATOR
from pipeline.contract.tensors import Contract
from pipeline.network_tensors import NEXT_STATE, STATE


class NotApplicableError(Exception):
    """The graph has no part that the fault could change."""


class FaultyGraph:
    """A copy of a model, with the edits that the faults consist of."""

    def __init__(self, file: bytes, contract: Contract) -> None:
        self.contract = contract
        self.model: ModelProto = onnx.load_from_string(file)
        self.graph = self.model.graph
        self.recurrent = [n for n in self.graph.node if n.op_type in BY_OPERATOR]
        self.cell = BY_OPERATOR[self.recurrent[0].op_type]

    def require(self, applies: bool) -> None:
        """Raise NotApplicableError unless the fault ``applies``."""
        if not applies:
            raise NotApplicableError

    def constant(self, name: str) -> NDArray[np.generic]:
        """A copy of the initializer ``name``."""
        return numpy_helper.to_array(self._initializer(name)).copy()

    def set_constant(self, name: str, array: NDArray[np.generic]) -> None:
        """Replace the initializer ``name`` by ``array``."""
        item = self._initializer(name)
        item.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))

    def _initializer(self, name: str) -> Any:
        """The initializer of that name; the fault does not apply if there is none."""
        found = [item for item in self.graph.initializer if item.name == name]
        self.require(bool(found))
        return found[0]

    @property
    def packed_state(self) -> tuple[str, str]:
        """The one pair of states that holds those of all layers, as built-in networks have it."""
        self.require(self.contract.states == ((STATE, NEXT_STATE),))
        return STATE, NEXT_STATE

    def freeze(self, symbol: str | None, size: int) -> None:
        """Set the axis ``symbol`` of every input and output to one size."""
        self.require(symbol is not None)
        for value in (*self.graph.input, *self.graph.output):
            axis = self.contract.axis(symbol, value.name)
            if axis is not None:
                value.type.tensor_type.shape.dim[axis].dim_value = size

    def node_of(self, output: str) -> NodeProto:
        """The node that computes ``output``."""
        found: NodeProto = next(node for node in self.graph.node if output in node.output)
        return found

    def before(self, node: NodeProto, new: NodeProto) -> None:
        """Insert the node ``new`` before ``node``."""
        self.graph.node.insert(list(self.graph.node).index(node), new)

    def constant_input(self, name: str, values: Sequence[int]) -> str:
        """Add the int64 initializer ``name``, and return its name."""
        array = np.array(values, np.int64)
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def after_all(self, output: str, nodes: Callable[[str], list[NodeProto]]) -> None:
        """Compute graph output ``output`` by ``nodes``, whose argument is the correct value."""
        honest = f"honest_{output}"
        node = self.node_of(output)
        node.output[list(node.output).index(output)] = honest
        self.graph.node.extend(nodes(honest))

    def bytes(self) -> bytes:
        """The changed file, without the shapes of inner tensors, which may be wrong now."""
        del self.graph.value_info[:]
        content: bytes = self.model.SerializeToString()
        return content


Plant = Callable[[FaultyGraph], None]


@dataclass(frozen=True)
class Fault:
    """A fault: its name, and the function that plants it in a graph."""

    name: str
    plant: Plant


def plant(fault: Fault, file: bytes, contract: Contract) -> bytes | None:
    """``file`` with ``fault`` in it, or None where the fault does not apply."""
    graph = FaultyGraph(file, contract)
    try:
        fault.plant(graph)
    except NotApplicableError:
        return None
    return graph.bytes()
