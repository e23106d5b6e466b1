"""Python's ``if`` and ``assert`` on the values of tensors, in the files of a module."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from module_files import close, eager, infer, operators, traced
from torch import Tensor, nn
from torch.distributions import Normal

from pipeline.errors import MalformedError
from pipeline.export import export_onnx, export_torchscript

AXES = {"x": {0: "batch"}, "h": {1: "batch"}, "starts": {0: "batch"}}


class Policy(nn.Module):
    """A recurrent policy that resets its state only if an episode starts."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.features = self.flatten  # one module under two names
        self.rnn, self.mean = nn.GRU(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor, h: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, h = self.process(self.features(x), h, starts)
        distribution = Normal(self.mean(y), torch.ones(2))
        action = distribution.mean
        return action, distribution.log_prob(action).sum(1), h

    def process(self, x: Tensor, h: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        count = h.shape[1]
        steps, starts = x.reshape(count, -1, 3).swapaxes(0, 1), starts.reshape(count, -1).T
        if torch.all(starts == 0.0):
            y, h = self.rnn(steps, h)
            return y.flatten(0, 1), h
        ys = []
        for step, start in zip(steps, starts, strict=True):
            y, h = self.rnn(step[None], (1.0 - start).view(1, count, 1) * h)
            ys += [y]
        return torch.cat(ys).flatten(0, 1), h


class Guarded(nn.Module):
    """Questions that only raise."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    def forward(self, x: Tensor, h: Tensor, starts: Tensor) -> Tensor:
        assert starts.min() >= 0, "starts are 0 or 1"
        if torch.isnan(x).any() or not torch.isfinite(h).all():
            raise ValueError("not a number")
        if (starts >= 0).all():
            y: Tensor = self.rnn(x[None], h)[0]
        else:
            raise ValueError("starts are 0 or 1")
        return y


class Between(nn.GRU):
    """Names that are set in one way or in both, lists, and ``super`` within a way."""

    def __init__(self) -> None:
        super().__init__(3, 4)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, h: Tensor, starts: Tensor) -> Any:  # type: ignore[override]
        ys, note = [], "plain"
        if not starts.any():
            y, h = super().forward(x[None], h)
            unused = y + 1
            y = unused - 1
        elif x.sum() > 0 and starts.sum() < 3:
            y = torch.zeros(1, x.size(0), 4)
            y[:, :, 0] = 1
        else:
            y = h * 2
        factor = 0.5 if starts[0] > 0 else 2.0
        if y.mean() > 0:
            ys = [y, h]
        else:
            y = y * factor
            ys = [y, -h]
        assert note == "plain"
        return torch.cat(ys), x.sum() if x.max() > 1 else x.min()


CASES: dict[str, tuple[nn.Module, int]] = {
    "policy": (Policy(), 2),
    "guards": (Guarded(), 1),
    "between": (Between(), 1),
}


def inputs(batch: int, starts: float, shift: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    some = (torch.rand(batch) < starts).float()
    return torch.randn(batch, 3) + shift, torch.randn(1, batch, 4), some


@pytest.mark.parametrize("case", CASES)
def test_a_question_about_numbers_is_answered_for_all_numbers(case: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, layers = CASES[case]
    further = [inputs(2, 0.0), inputs(3, 0.5, 2.0), inputs(4, 0.5, -2.0)]
    for example in further[:2]:  # which answers differently
        export_onnx(module, example, tmp_path / "m.onnx", dynamic_axes=AXES, check_inputs=further)
        export_torchscript(
            module, example, tmp_path / "m.pt", dynamic_axes=AXES, check_inputs=further
        )
        assert operators(tmp_path / "m.onnx")["GRU"] == layers
        for batch in (1, 2, 7):
            for starts in (0.0, 0.3, 1.0):
                for shift in (-2.0, 0.0, 2.0):
                    given = inputs(batch, starts, shift)
                    expected = eager(module, given)
                    assert close(infer(tmp_path / "m.onnx", given), expected)
                    assert close(traced(tmp_path / "m.pt", given), expected)


class Writes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x + 1
        if x.sum() > 0:
            y += 1
        return y


class Keeps(nn.Module):
    last: Any = None

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 1e9:
            x = self.kept(x)
        return x

    def kept(self, x: Tensor) -> Tensor:
        self.last = x
        return x * 2


class Appends(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        some = [x]
        if x.sum() > 0:
            some += [x]
        return torch.stack(some).sum(0)


class Shapes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        return x.T


class Ends(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            if x.sum() > 0:
                break
            x = x + 1
        return x


REFUSED: dict[type[nn.Module], str] = {
    Writes: "writes into one in one way, by ",
    Keeps: "sets 'last' of Keeps in one way",
    Appends: "gives a list of [12] in one way and a list of [12] in the other",
    Shapes: r"gives float32\[2, 3\] in one way and float32\[3, 2\]",
    Ends: "a Python if, loop or size depends on numbers",
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("export", [export_onnx, export_torchscript])
def test_ways_that_change_what_the_other_sees_are_refused_with_their_line(
    kind: type[nn.Module], export: Any, tmp_path: Path
) -> None:
    x = torch.randn(2, 3)
    lines = Path(__file__).read_text().splitlines()
    first = next(k for k, line in enumerate(lines, 1) if f"class {kind.__name__}(" in line)
    asked = next(k for k, line in enumerate(lines[first:], first + 1) if " if x.sum()" in line)
    with pytest.raises(MalformedError, match=REFUSED[kind]) as refused:
        export(kind(), x, tmp_path / "m", check_inputs=[(x,)])
    assert "\n" not in str(refused.value)
    named = {f"{Path(__file__).name}:{line}" for line in range(asked, asked + 2)}
    assert any(line in str(refused.value) for line in named)
    assert not list(tmp_path.iterdir())


def test_a_flag_that_forward_never_sets_is_asked_in_a_trace(tmp_path: Path) -> None:
    class Started(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("ready", torch.tensor(True))

        def forward(self, x: Tensor) -> Tensor:
            if not self.ready:
                return x[:1].mean(0)
            return x * 2

    x: Sequence[Tensor] = [torch.randn(2, 3)]
    export_torchscript(Started(), tuple(x), tmp_path / "m.pt", dynamic_axes={"x": {0: "batch"}})
    assert close(traced(tmp_path / "m.pt", x), [x[0] * 2])
