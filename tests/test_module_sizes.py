"""Sizes that a module makes plain numbers of: they follow the axis, or the line is named."""

import math
from pathlib import Path

import pytest
import torch
from module_files import close, eager, infer, traced
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import MalformedError
from pipeline.export import export_onnx, export_torchscript

AXES = {"x": {0: "batch", 1: "time"}}


class Base(nn.Module):
    """A recurrent layer that the kinds below call with sizes of their input."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.GRU(3, 4, batch_first=True)
        self.first = nn.Parameter(torch.randn(4))
        self.__scale = 2.0

    def zeros(self, x: Tensor) -> Tensor:
        return torch.zeros(1, len(x), 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x * self.__scale, self.zeros(x))[0]
        return y


def zeros_of(x: Tensor) -> Tensor:
    return torch.zeros(1, int(x.shape[0]), 4)


class Repeated(Base):
    def forward(self, x: Tensor) -> Tensor:
        rows = (row[None, None].repeat(1, len(x), 1) for row in (self.first,))
        y: Tensor = self.layers(x, next(rows))[0]
        return y


class Viewed(Base):
    def forward(self, x: Tensor) -> Tensor:
        batch, time = int(x.size(0)), int(x.shape[1])
        y: Tensor = super().forward(x).reshape(batch * time, 4)
        return y.view(len(x), 1, -1)


class ByFunction(Base):
    def forward(self, x: Tensor) -> Tensor:
        def halved(y: Tensor) -> Tensor:
            return y[:, int(y.size(1) / 2) :]

        y: Tensor = self.layers(x, zeros_of(x))[0]
        return halved(y)


class Bounded(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = Base.forward(self, x)[:, : max(math.ceil(x.size(1) / 2), 1)]
        return functional.pad(y, (0, 0, 0, max(x.size(1), 20) - min(x.size(1), y.size(1))))


class Scaled(Base):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        quotient, rest = divmod(x.size(1), 2)
        y = super().forward(x) / math.sqrt(len(x)) / float(x.size(1))
        return y[:, quotient : quotient + 1 + rest]


class Last(Base):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[torch.arange(len(x)), x.size(1) - 1]


class Halves(Base):
    """Both directions as one batch, as some write a bidirectional layer."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(torch.cat([x, x.flip(1)]))
        forwards, backwards = y.chunk(2, dim=0)
        return torch.cat([forwards, backwards.flip(1)], 2)


class Squeezed(Base):
    """An axis of several numbers that is squeezed, which PyTorch leaves as it is."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.squeeze(2)).squeeze(dim=-1)


class Written(Base):
    """Axes and sizes that are written into a tensor, and read back as a list."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        axes: list[int] = torch.arange(1, len(y.shape)).tolist()
        shape = torch.tensor(y.shape).tolist()
        return (y - y.mean(dim=axes, keepdim=True)).reshape(-1).reshape(shape)


class Asked(Base):
    """A function that takes a tensor or a number, as that which trims a tensor to another."""

    def forward(self, x: Tensor) -> Tensor:
        def trimmed(y: Tensor, to: Tensor | int) -> Tensor:
            size = to.size(1) if isinstance(to, Tensor) else to
            assert isinstance(size, int)
            return y[:, : (size + 1) // 2]

        y = super().forward(x)
        return torch.cat([trimmed(y, x), trimmed(y, x.size(1)), trimmed(y, x.size(1) * 2 + 1)], 1)


KINDS: list[type[Base]] = [
    Base, Repeated, Viewed, ByFunction, Bounded, Scaled, Last, Halves, Squeezed, Written,
    Asked,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_made_plain_numbers_follow_the_axis(kind: type[Base], tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, forward = kind().eval(), kind.forward
    x = torch.randn(2, 6, 3)
    export_onnx(module, x, tmp_path / "m.onnx", dynamic_axes=AXES)
    export_torchscript(module, x, tmp_path / "m.pt", dynamic_axes=AXES)
    assert kind.forward is forward
    assert "forward" not in vars(module)
    for batch, time in ((1, 1), (3, 17), (5, 24)):
        x = torch.randn(batch, time, 3)
        expected = eager(module, [x])
        assert close(infer(tmp_path / "m.onnx", [x]), expected)
        assert close(traced(tmp_path / "m.pt", [x]), expected)


class Loops(Base):
    def forward(self, x: Tensor) -> Tensor:
        h = zeros_of(x)[0]
        for step in x.unbind(1):
            h = torch.tanh(h + step.sum(1, keepdim=True))
            if step is x:
                break
        return h


class Listed(Base):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.zeros(x)] * x.size(1))


class Fixed(Base):
    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(6, 4))

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y + self.position


class Branches(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        while y.mean() > 0:
            y = y - 1
        return y


REFUSED: dict[type[Base], tuple[str, str]] = {
    Loops: ("for step in", r"loop at {} runs over 'time'.*torch's scan"),
    Listed: ("] * x.size(1)", r"{} works at time 6 alone; (?!.*loop)"),
    Fixed: ("y + self.position", r"{} works at time 6 alone; (?!.*loop)"),
    Branches: ("while y.mean()", r"at {}, a Python if, loop or size depends on numbers"),
}


def here(words: str) -> str:
    lines = Path(__file__).read_text().splitlines()
    number = next(k for k, line in enumerate(lines, 1) if words in line)
    return rf"{Path(__file__).name}:{number}"


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_one_size_is_refused_with_its_line(kind: type[Base], tmp_path: Path) -> None:
    words, message = REFUSED[kind]
    check = [(torch.randn(2, 6, 3),)] if kind is Fixed else []  # PyTorch runs it at no other size
    with pytest.raises(MalformedError, match=message.format(here(words))) as refused:
        export_onnx(
            kind(), torch.randn(2, 6, 3), tmp_path / "m.onnx", dynamic_axes=AXES, check_inputs=check
        )
    assert "\n" not in str(refused.value)
    assert kind.__name__ in str(refused.value)
