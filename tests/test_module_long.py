"""Modules that are right over a few steps and wrong over some hundred: the export sees it."""

from pathlib import Path

import pytest
import torch
from module_files import close, eager, infer
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import MalformedError, ParityError, PipelineError
from pipeline.export import export_onnx, export_torchscript

AXES = {"x": {0: "batch", 1: "time"}}


class Parallel(nn.Module):
    """A gated average over all steps at once, in logarithms, as minGRU has it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(x)
        decay = torch.cumsum(-functional.softplus(gate), 1)
        value = functional.softplus(gate + 0.5).log() - functional.softplus(-gate)
        return (decay + torch.logcumsumexp(value - decay, 1)).exp()


class Overflows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.abs().cumsum(1).exp()


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        (Parallel, ParityError, r"ONNX of Parallel gives other numbers .* at x \[3, 333, 3\].*"),
        (Overflows, MalformedError, r"Overflows itself gives numbers that are not finite.*333.*"),
    ],
)
def test_what_some_hundred_steps_lose_is_refused(
    kind: type[nn.Module], error: type[PipelineError], message: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module, x = kind().eval(), torch.randn(2, 5, 3)
    with pytest.raises(error, match=f"{message}shorter sequences are right.*check_inputs"):
        export_onnx(module, x, tmp_path / "m.onnx", dynamic_axes=AXES)
    assert not (tmp_path / "m.onnx").exists()
    shorter = [torch.randn(2, time, 3) for time in (3, 9, 20)]
    export_onnx(module, x, tmp_path / "m.onnx", dynamic_axes=AXES, check_inputs=shorter)
    given = [torch.randn(1, 12, 3)]
    exact = [y.float() for y in eager(module.double(), [given[0].double()])]
    assert close(infer(tmp_path / "m.onnx", given), exact)


class Limited(nn.Module):
    """Positions for no more than forty steps."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(40, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.positions[: x.size(1)]


def test_a_module_that_takes_no_long_sequence_is_compared_on_short_ones(tmp_path: Path) -> None:
    module = Limited().eval()
    export_torchscript(module, torch.randn(2, 5, 3), tmp_path / "m.pt", dynamic_axes=AXES)
    assert (tmp_path / "m.pt").exists()


class Remembers(nn.Module):
    """Start values that are made again when the size of the batch is another than the last."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.GRU(3, 4, batch_first=True)
        self.batch_size = 1
        self.start = torch.zeros(1, 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        if self.batch_size != x.shape[0]:
            self.batch_size = x.shape[0]
        start = self.start.expand(1, self.batch_size, 4).contiguous()
        y: Tensor = self.layers(x, start)[0]
        return y


def test_a_module_that_remembers_the_size_of_its_last_batch_is_right_at_others(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    module, path = Remembers().eval(), tmp_path / "m.onnx"
    export_onnx(module, torch.randn(2, 5, 3), path, dynamic_axes=AXES)
    for batch, time in ((1, 4), (2, 5), (6, 9)):
        given = [torch.randn(batch, time, 3)]
        assert close(infer(path, given), eager(module, given))
