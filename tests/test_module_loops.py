"""Python loops over time: those whose steps are all the same become a scan by themselves."""

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from module_files import close, eager, infer, leaves, traced
from torch import Tensor, nn

from pipeline.errors import MalformedError
from pipeline.export import export_onnx, export_torchscript

State = tuple[Tensor, Tensor]


class Cell(nn.Module):
    """An ``LSTMCell`` in a loop, as PyTorch's documentation has it."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(3, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        ys = []
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
            ys.append(self.head(h))
        return torch.stack(ys, 1), (h, c)


class Whole(Cell):
    """The state as one name, a piece for each step, and names of a step alone."""

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        ys: list[Tensor] = []
        for step in range(len(x[0])):
            piece = torch.relu(x[:, step, :])
            state = self.cell(piece, state)
            y = self.head(state[0])
            ys.append(y.unsqueeze(1))
        return torch.cat(ys, dim=1), state


class Expanded(Cell):
    """A state that begins with one row for all streams; two loops, the second over the first."""

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        total = x.new_zeros(1).expand(x.size(0), 1)
        for t in range(x.size(1)):
            total = 0.5 * total + x[:, t].mean(1, keepdim=True)
        ys = []
        for t in range(x.size(1)):
            x_t = x[:, t] + total
            h, c = self.cell(x_t, (h, c))
            ys.append(self.head(h))
        return torch.stack(ys, dim=1), (h, c)


class Mapped(Cell):
    """A loop without any state."""

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        ys = []
        for t in range(x.shape[1]):
            ys.append(torch.relu(x[:, t]) * 2)
        return torch.stack(ys, dim=1)[..., :2], state


class Chosen(Cell):
    """Conditions that are the same in every step, and the last of what a step computes."""

    batch_first, scale = True, None

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        ys = []
        for t in range(x.size(1)):
            if self.batch_first:
                x_t = x[:, t] if self.scale is None else x[:, t] * self.scale
            else:
                x_t = x[t]
            h, c = self.cell(x_t, (h, c))
            y = self.head(h)
            if not self.training:
                ys.append(y)
        return torch.stack(ys, 1) + y.unsqueeze(1), (h, c)


def sample(batch: int, time: int) -> tuple[Any, ...]:
    return torch.randn(batch, time, 3), (torch.randn(batch, 5), torch.randn(batch, 5))


AXES = {"x": {0: "batch", 1: "time"}, "state_0": {0: "batch"}, "state_1": {0: "batch"}}


@pytest.mark.parametrize("kind", [Cell, Whole, Expanded, Mapped, Chosen])
def test_a_loop_of_like_steps_runs_for_any_number_of_them(kind: type[Cell], tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = kind().eval()
    export_onnx(module, sample(2, 4), tmp_path / "m.onnx", dynamic_axes=AXES)
    export_torchscript(module, sample(2, 4), tmp_path / "m.pt", dynamic_axes=AXES)
    nodes = [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node]
    assert nodes.count("Scan") == (2 if kind is Expanded else 1)
    for sizes in ((1, 1), (3, 9), (2, 23)):
        others = sample(*sizes)
        expected = eager(module, others)
        assert close(infer(tmp_path / "m.onnx", others), expected)
        assert close(traced(tmp_path / "m.pt", others), expected)


@pytest.mark.parametrize("kind", [Cell, Whole])
def test_a_rolled_loop_streams_in_chunks(kind: type[Cell], tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = kind().eval()
    export_onnx(module, sample(2, 4), tmp_path / "m.onnx", dynamic_axes=AXES)
    x, state = sample(3, 13)
    whole, carried, ys = eager(module, (x, state)), leaves(state), []
    for piece in x.split((5, 1, 7), 1):
        y, *carried = infer(tmp_path / "m.onnx", [piece, *carried])
        ys.append(y)
    assert close([torch.cat(ys, 1), *carried], whole)


class LooksBack(Cell):
    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        ys = [x[:, 0, :2]]
        for t in range(1, x.size(1)):
            ys.append(x[:, t, :2] - x[:, t - 1, :2])
        return torch.stack(ys, 1), state


class Breaks(Cell):
    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
            if t == 100:
                break
        return h, (h, c)


class Changes(Cell):
    """A condition that asks for what the steps change."""

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        first = True
        for t in range(x.size(1)):
            h, c = (h, c) if first else self.cell(x[:, t], (h, c))
            first = False
        return h, (h, c)


@pytest.mark.parametrize("kind", [LooksBack, Breaks, Changes])
def test_a_loop_of_unlike_steps_is_refused_with_its_line(kind: type[Cell], tmp_path: Path) -> None:
    lines = Path(__file__).read_text().splitlines()
    first = lines.index(f"class {kind.__name__}(Cell):")
    number = next(k for k, line in enumerate(lines, 1) if k > first and "for t in" in line)
    message = rf"{kind.__name__}.*loop at {Path(__file__).name}:{number} .*torch's scan, `from"
    with pytest.raises(MalformedError, match=message) as refused:
        export_onnx(kind(), sample(2, 4), tmp_path / "m.onnx", dynamic_axes=AXES)
    assert "\n" not in str(refused.value)
