"""The form of an entry: what is asked of a cell, in PyTorch, in ONNX and in C."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # neither is needed to know a cell
    import torch

    from pipeline.cells import fixed_point

Tensor: TypeAlias = "torch.Tensor"
Parts: TypeAlias = Sequence[Tensor]
Integers: TypeAlias = "fixed_point.Integers"
FixedPoint: TypeAlias = "fixed_point.FixedPoint"


@dataclass(frozen=True)
class Entry:
    """A cell. A gate is a letter, PyTorch's own, and the same one in every order."""

    operator: str
    """The operator of ONNX; the layer of ``torch.nn`` has the same name."""
    gates: str
    """The gates in the order of PyTorch's weights."""
    onnx_gates: str
    """The gates in the order of ONNX's weights."""
    c_gates: str
    """The gates in the order in which the step in C has them."""
    step: Callable[[Tensor, Tensor, Parts, str], Parts]
    """The state after one step, by the equations of ONNX.

    It is given W·x + Wb and R·h + Rb, both ``[batch, gates·hidden]`` with the gates in ONNX's
    order, the parts of the state before, ``[batch, hidden]`` each, and ``tanh`` or ``relu``.
    """
    integer_step: Callable[[Integers, Integers, Sequence[Integers], FixedPoint], Sequence[Integers]]
    """The same in fixed point, the gates in the order of C; ``NAME_integer.c`` is this in C."""
    presets: Mapping[str, Mapping[str, Any]]
    """What the presets of the cell have of their own, by family of tasks."""
    parts: tuple[str, ...] = ("h",)
    """The parts of the state; h, the output, is the first."""
    options: tuple[str, ...] = ()
    """Fields of the configuration, and arguments of the layer of PyTorch, that other cells lack."""
    attributes: Mapping[str, int] = field(default_factory=dict)
    """What the node of ONNX has to say to mean what PyTorch does; 0 is ONNX's own choice."""
    apart: str = ""
    """Gates of which W·x + Wb and R·h + Rb are not simply added."""
    c_gate: str = ""
    """What the step in C keeps of a gate, sigmoid(x), as an expression of e = exp(-x) - 1."""

    @property
    def is_gated(self) -> bool:
        """Whether there is more than the candidate for the next h."""
        return len(self.gates) > 1

    @property
    def has_c(self) -> bool:
        """Whether the state has another part beside h."""
        return len(self.parts) > 1

    @property
    def has_nonlinearity(self) -> bool:
        """Whether the function at its end can be chosen; else it is tanh."""
        return "nonlinearity" in self.options

    @property
    def onnx_order(self) -> list[int]:
        """Where ONNX's gate number k stands among PyTorch's."""
        return [self.gates.index(gate) for gate in self.onnx_gates]

    def layer(self) -> "type[torch.nn.RNNBase]":
        """Its class in ``torch.nn``; torch is imported here and not before."""
        import torch

        found: type[torch.nn.RNNBase] = getattr(torch.nn, self.operator)
        return found
