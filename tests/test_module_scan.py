"""Loops over time that a module writes with torch's scan: one ONNX node, streamed as in PyTorch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from module_files import close, eager, infer, leaves, traced
from torch import Tensor, nn
from torch._higher_order_ops import scan
from torch.nn import functional

from pipeline.export import export_onnx, export_torchscript

State = tuple[Tensor, Tensor]


class Steps(nn.Module):
    """An ``LSTMCell`` that reads one step after the other, with a head in the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(3, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x ``[batch, time, 3]`` to ``[batch, time, 2]``, and the state after it."""

        def step(state: State, x: Tensor) -> tuple[State, Tensor]:
            h, c = self.cell(x, state)
            return (h, c), self.head(h)

        state, y = scan(step, state, x, dim=1)
        return y, state


class NormedCell(nn.Module):
    """An LSTM whose gates and cell are normalized, as ``LayerNorm-LSTM`` has them."""

    def __init__(self) -> None:
        super().__init__()
        self.of_x, self.of_h = nn.Linear(3, 20, bias=False), nn.Linear(5, 20, bias=False)
        self.norm_x, self.norm_h, self.norm_c = (nn.LayerNorm(k) for k in (20, 20, 5))

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x ``[time, batch, 3]`` to ``[time, batch, 5]``, and the state after it."""

        def step(state: State, x: Tensor) -> tuple[State, Tensor]:
            h, c = state
            gates = self.norm_x(self.of_x(x)) + self.norm_h(self.of_h(h))
            i, f, o, new = gates.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(new)
            h = torch.sigmoid(o) * torch.tanh(self.norm_c(c))
            return (h, c), h.clone()

        state, y = scan(step, state, x)
        return y, state


class Images(nn.Module):
    """A ConvLSTM: state and gates are images."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Conv2d(2 + 3, 12, 3, padding=1)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x ``[batch, time, 2, 4, 4]`` to ``[batch, time, 3, 4, 4]``, and the state after it."""

        def step(state: State, x: Tensor) -> tuple[State, Tensor]:
            h, c = state
            i, f, o, new = self.gates(torch.cat([x, h], 1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(new)
            h = torch.sigmoid(o) * torch.tanh(c)
            return (h, c), h.clone()

        state, y = scan(step, state, x, dim=1)
        return y, state


class Policy(nn.Module):
    """A recurrent policy whose state begins anew where an episode does."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.cell, self.head = nn.Linear(3, 4), nn.GRUCell(4, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor, starts: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """x ``[batch, time, 3]``, starts bool ``[batch, time]``, to actions, and the state."""

        def step(h: Tensor, step: State) -> tuple[Tensor, Tensor]:
            x, starts = step
            h = self.cell(x, torch.where(starts[:, None], torch.zeros_like(h), h))
            return h, h.clone()

        state, y = scan(step, state, (torch.relu(self.encoder(x)), starts), dim=1)
        return functional.softmax(self.head(y), -1), state


def pair(*shape: int) -> State:
    return torch.randn(shape), torch.randn(shape)


Sample = Callable[[int, int], tuple[Any, ...]]
CASES: dict[str, tuple[type[nn.Module], int, Sample]] = {
    "LSTMCell": (Steps, 1, lambda b, t: (torch.randn(b, t, 3), pair(b, 5))),
    "LayerNorm-LSTM": (NormedCell, 0, lambda b, t: (torch.randn(t, b, 3), pair(b, 5))),
    "ConvLSTM": (Images, 1, lambda b, t: (torch.randn(b, t, 2, 4, 4), pair(b, 3, 4, 4))),
    "resets": (
        Policy,
        1,
        lambda b, t: (torch.randn(b, t, 3), torch.rand(b, t) < 0.4, torch.randn(b, 5)),
    ),
}


def axes_of(time: int) -> dict[str, dict[int, str]]:
    sequence = {time: "time", 1 - time: "batch"}
    states = {name: {0: "batch"} for name in ("state", "state_0", "state_1")}
    return {"x": sequence, "starts": sequence, **states}


@pytest.mark.parametrize("kind", CASES)
def test_a_scan_is_one_node_that_streams_in_chunks_as_pytorch_does(
    kind: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    cls, time, sample = CASES[kind]
    module, path = cls().eval(), tmp_path / "m.onnx"
    inputs, axes = sample(2, 4), axes_of(time)
    names = [item for item in ("x", "starts") if len(inputs) == 3 or item == "x"]
    names += ["state"] if torch.is_tensor(inputs[-1]) else ["state_0", "state_1"]
    axes = {name: axes[name] for name in names}
    export_onnx(module, inputs, path, dynamic_axes=axes)
    export_torchscript(module, inputs, tmp_path / "m.pt", dynamic_axes=axes)
    graph = onnx.load(path).graph
    assert [node.op_type for node in graph.node].count("Scan") == 1
    assert not {"Loop", "If"} & {node.op_type for node in graph.node}
    for batch, pieces in ((1, (1, 1, 1)), (3, (5, 1, 7))):
        *sequences, state = sample(batch, sum(pieces))
        whole = eager(module, [*sequences, state])
        assert close(traced(tmp_path / "m.pt", [*sequences, state]), whole)
        outputs, carried = [], leaves(state)
        for piece in zip(*(x.split(pieces, time) for x in sequences), strict=True):
            y, *carried = infer(path, [*piece, *carried])
            outputs.append(y)
        assert close([torch.cat(outputs, time), *carried], whole)
