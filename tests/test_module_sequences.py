"""Loops over time as people write them: over the pieces of a sequence, over layers, in lists."""

from pathlib import Path
from typing import Any

import pytest
import torch
from module_files import close, eager, infer, operators, traced
from ncps.torch import LTC
from ncps.wirings import AutoNCP
from torch import Tensor, nn

from pipeline.export import export_onnx, export_torchscript


class Base(nn.Module):
    """A cell and a head; the kinds below go through ``x`` ``[batch, time, 3]``."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(3, 5), nn.Linear(5, 2)

    def start(self, x: Tensor) -> Tensor:
        return torch.full((x.size(0), 5), 0.5)


class Unbound(Base):
    def forward(self, x: Tensor) -> Tensor:
        h, ys = self.start(x), []
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
            ys.append(self.head(h))
        return torch.stack(ys, 1)


class OverFirst(Base):
    def forward(self, x: Tensor) -> Tensor:
        h, ys, zs = self.start(x), list[Tensor](), list[Tensor]()
        for x_t in x.transpose(0, 1):
            h = self.cell(x_t, h)
            ys = ys + [h]  # noqa: RUF005
            zs = [*zs, x_t]
        return torch.cat([torch.stack(list(ys)), torch.stack(zs)], 2).transpose(0, 1)


class Numbered(Base):
    """Two sequences, one read at the number; the number counts, and so do the items."""

    def forward(self, x: Tensor) -> Tensor:
        h, ys, other = self.start(x), [], x.flip(1)
        for t, x_t in enumerate(x.unbind(dim=1)):
            h = self.cell(x_t + other[:, t, :], h)
            ys += [h * (t < 3) + 0.1 * t]
        return torch.stack(ys, dim=1)


class Zipped(Base):
    def forward(self, x: Tensor) -> Tensor:
        h, ys = self.start(x), []
        keep = (x.sum(2) > 0).unbind(1)
        for t, (x_t, keep_t) in enumerate(zip(torch.unbind(x, 1), keep, strict=True)):
            h = torch.where(keep_t[:, None], self.cell(x_t, h), h)
            ys.append(h + x[:, t].sum())
        return torch.stack(ys, 1)


class Split(Base):
    def forward(self, x: Tensor) -> Tensor:
        h, ys = self.start(x), []
        for piece in torch.split(x, 1, dim=1):
            h = self.cell(piece.squeeze(1), h)
            ys.append(self.head(h).unsqueeze(1))
        return torch.cat(ys, 1)


class Chunked(Base):
    """The loop of PyTorch's own example of a sine wave."""

    def forward(self, x: Tensor) -> Tensor:
        h, ys = self.start(x), []
        for _i, piece in enumerate(x.chunk(x.size(1), dim=1)):
            h = self.cell(piece[:, 0], h)
            ys += [self.head(h)]
        return torch.stack(ys, 1).squeeze(2)


class Comprehended(Base):
    def forward(self, x: Tensor) -> Tensor:
        inside = [torch.relu(x_t) * 2 for x_t in x.unbind(1)]
        h, ys = self.start(x), []
        for x_t in inside:
            h = self.cell(x_t, h)
            ys.append((h, x_t))
        both = torch.stack([self.head(h) + x_t[:, :2] for h, x_t in ys], 1)
        y: Tensor = both + torch.stack([x[:, t, :2] for t in range(x.size(1))], dim=1)
        return y


class Listed(Base):
    """A sequence in a list, and the last of its steps after the loop."""

    def forward(self, x: Tensor) -> Tensor:
        inputs, h, ys = x.unbind(1), self.start(x), list[Tensor]()
        for t in range(len(inputs)):
            h = self.cell(inputs[t], h)
            out = self.head(h)
            ys.append(out)
        y: Tensor = torch.stack(ys, 1) + out[:, None] + ys[-1][:, None]
        return y


class Backwards(Base):
    def forward(self, x: Tensor) -> Tensor:
        h, ys, zs = self.start(x), list[Tensor](), list[Tensor]()
        for t in reversed(range(x.size(1))):
            h = self.cell(x[:, t], h)
            ys.insert(0, h)
        for t in range(x.size(1) - 1, -1, -1):
            h = self.cell(x[:, t] + ys[t][:, :3], h)
            zs.append(h)
        return torch.stack(ys, 1) - torch.stack(zs[::-1], 1)


class Filled(Base):
    """Outputs in a tensor that was there before, forwards and backwards."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.zeros(x.size(0), x.size(1), 5)
        z = x.new_zeros(x.size(1), x.size(0), 2)
        h = self.start(x)
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            y[:, t] = h
        for t in reversed(range(x.size(1))):
            h = self.cell(x[:, t], h)
            z[t] = self.head(h)
        return torch.cat([y, z.transpose(0, 1)], 2)


class Begun(Base):
    """A state that the first step begins, not with zeros."""

    def forward(self, x: Tensor) -> Tensor:
        h, ys = None, []
        for x_t in x.unbind(1):
            scaled = x_t * 2
            if h is None:
                h = torch.ones(x_t.size(0), 5) * scaled.mean()
            h = self.cell(scaled, h)
            ys.append(h)
        return torch.stack(ys, 1)


class CellBegins(Base):
    """No state at first, which a cell makes zeros of; a sum that begins as a number."""

    def forward(self, x: Tensor) -> Tensor:
        h, total, ys = None, 0, []
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
            total = total + h.sum(1)
            ys.append(total)
        return torch.stack(ys, 1)


class Layers(Base):
    """Layers outside, time inside."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.GRUCell(3, 5), nn.GRUCell(5, 5)])

    def forward(self, x: Tensor) -> Tensor:
        for cell in self.layers:
            h, ys = self.start(x), []
            for t in range(x.size(1)):
                h = cell(x[:, t], h)
                ys.append(h)
            x = torch.stack(ys, 1)
        return x


class Deep(Layers):
    """Time outside, layers inside, the states in a list and in one tensor."""

    def forward(self, x: Tensor) -> Tensor:
        states: list[Any] = [None] * len(self.layers)
        ys = []
        sums = torch.zeros(len(self.layers), x.size(0), 5)
        for t in range(x.size(1)):
            y = x[:, t, :]
            for k, cell in enumerate(self.layers):
                states[k] = cell(y, states[k])
                y = states[k]
                sums[k] = 0.5 * sums[k] + y
            ys.append(y)
        return torch.stack(ys, 1) + sums.sum(0).unsqueeze(1)


class Rebuilt(Layers):
    """Each step makes the list of states anew."""

    def forward(self, x: Tensor) -> Tensor:
        states = torch.stack([self.start(x), self.start(x)]).unbind(0)
        ys = [states[1] * 0]
        for x_t in x.unbind(1):
            after = []
            for k, (cell, h) in enumerate(zip(self.layers, states, strict=True)):
                x_t = cell(x_t, h)
                if k == 0:
                    x_t = torch.relu(x_t)
                after.append(x_t)
            states = tuple(after)
            ys.append(states[-1])
        return torch.stack(ys, 1)


class Kept(Base):
    """The state as an attribute, for the time of the loop."""

    h: Tensor

    def forward(self, x: Tensor) -> Tensor:
        self.h = self.start(x)
        ys = []
        for x_t in x.unbind(1):
            self.h = self.cell(x_t, self.h)
            ys.append(self.head(self.h))
        y = torch.stack(ys, 1) + self.h.mean()
        del self.h
        return y


KINDS: dict[type[Base], int] = {
    Unbound: 1, OverFirst: 1, Numbered: 1, Zipped: 1, Split: 1, Chunked: 1, Comprehended: 4,
    Listed: 1, Backwards: 2, Filled: 2, Begun: 1, CellBegins: 1, Layers: 2, Deep: 1, Rebuilt: 1,
    Kept: 1,
}  # fmt: skip
"""How many scans each has."""


def exact(module: nn.Module, inputs: list[Any]) -> list[Tensor]:
    """What the module gives in float64, the cell's numbers included."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.double)
    try:
        return [y.float() for y in eager(module.double(), [x.double() for x in inputs])]
    finally:
        torch.set_default_dtype(before)
        module.float()


@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_over_a_sequence_runs_for_any_number_of_steps(
    kind: type[Base], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module, axes = kind().eval(), {"x": {0: "batch", 1: "time"}}
    x = torch.randn(2, 4, 3)
    export_onnx(module, x, tmp_path / "m.onnx", dynamic_axes=axes)
    export_torchscript(module, x, tmp_path / "m.pt", dynamic_axes=axes)
    assert operators(tmp_path / "m.onnx")["Scan"] == KINDS[kind]
    for batch, time in ((1, 1), (3, 9), (2, 23)):
        inputs = [torch.randn(batch, time, 3)]
        expected = exact(module, inputs)
        assert close(infer(tmp_path / "m.onnx", inputs), expected)
        assert close(traced(tmp_path / "m.pt", inputs), expected)


def test_a_loop_reads_weights_that_lie_in_a_dictionary(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = LTC(3, AutoNCP(8, 2), batch_first=True).eval()
    given = torch.randn(2, 4, 3), torch.randn(2, 8)
    axes = {"input": {0: "batch", 1: "time"}, "hx": {0: "batch"}}
    export_onnx(module, given, tmp_path / "m.onnx", dynamic_axes=axes)
    export_torchscript(module, given, tmp_path / "m.pt", dynamic_axes=axes)
    assert operators(tmp_path / "m.onnx")["Scan"] == 1
    for batch, time in ((1, 1), (3, 11)):
        inputs = [torch.randn(batch, time, 3), torch.randn(batch, 8)]
        expected = eager(module, inputs)
        assert close(infer(tmp_path / "m.onnx", inputs), expected)
        assert close(traced(tmp_path / "m.pt", inputs), expected)
