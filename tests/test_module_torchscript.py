"""Modules with TorchScript or quantized layers inside."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from checked_modules import BATCH_TIME, Net, X, check
from module_files import close, traced
from torch import Tensor, nn

from pipeline.errors import MalformedError
from pipeline.export import export_onnx, export_torchscript
from pipeline.export.quiet import quiet_exporter
from pipeline.export.state import explicit
from pipeline.validate.foreign import ForeignFile, validate_pair
from pipeline.validate.foreign.pair import PairChoices


class Switch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 3:
            return x * 2
        return x


def test_torchscript_inside_is_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    with quiet_exporter():
        scripted, linear = torch.jit.script(Switch()), torch.jit.trace(nn.Linear(2, 2), X[..., :2])
    module = Net()
    module.out = nn.Sequential(module.out, scripted)  # type: ignore[assignment]
    check(module, tmp_path)
    module.out.append(linear)  # type: ignore[operator]
    export_torchscript(module, X, tmp_path / "m.pt", dynamic_axes=BATCH_TIME)
    x = torch.randn(3, 9, 3)
    with torch.no_grad():
        assert close(traced(tmp_path / "m.pt", [x]), [module(x)])
    with pytest.raises(MalformedError, match=r"'out\.2' \(Linear\) to ONNX: it is TorchScript"):
        export_onnx(module, X, tmp_path / "m.onnx")


def test_a_module_in_torchscript_is_kept_as_such(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Net().eval()
    with quiet_exporter():
        whole = [torch.jit.trace(module, X), torch.jit.script(module)]
    x = torch.randn(3, 9, 3)
    for script in whole:
        export_torchscript(script, X, tmp_path / "m.pt", dynamic_axes=BATCH_TIME)
        with torch.no_grad():
            assert close(traced(tmp_path / "m.pt", [x]), [module(x)])
        with pytest.raises(MalformedError, match=r"export Net to ONNX: it is TorchScript.*Python"):
            export_onnx(script, X, tmp_path / "m.onnx")


class Detector(nn.Module):
    """A detector that keeps its state to itself, and is told the rate."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 4)
        self.state = torch.zeros(0)

    def forward(self, x: Tensor, rate: int) -> Tensor:
        if len(self.state) != x.size(0):
            self.state = torch.zeros(x.size(0), 4)
        if rate != 8000:
            x = x[:, ::1]
        self.state = self.cell(x, self.state)
        return self.state


def test_torchscript_that_hides_its_state_is_named_with_what_helps(tmp_path: Path) -> None:
    x = torch.randn(2, 3)
    with quiet_exporter():
        module = torch.jit.script(Detector().eval())
    hidden = r"Detector.* it is TorchScript that keeps 'state' from call to call.* Python module"
    for name, export in (("m.onnx", export_onnx), ("m.pt", export_torchscript)):
        with pytest.raises(MalformedError, match=hidden):
            export(module, (x, 8000), tmp_path / name)
    with pytest.raises(MalformedError, match=hidden):
        explicit(module, (x, 8000), axes={"x": {0: "batch"}})
    with quiet_exporter():
        torch.jit.save(module, tmp_path / "detector.pt")

    class Open(Detector):
        def forward(self, x: Tensor, rate: Tensor, state: Tensor) -> Any:  # type: ignore[override]
            state = self.cell(x * rate, state)
            return state, state.clone()

    rate = torch.tensor(1.0)
    export_onnx(Open().eval(), (x, rate, torch.zeros(2, 4)), tmp_path / "open.onnx")
    files = (
        ForeignFile("TorchScript", tmp_path / "detector.pt"),
        ForeignFile("ONNX", tmp_path / "open.onnx"),
    )
    with pytest.raises(MalformedError, match="the latter is TorchScript that keeps state from"):
        validate_pair(*files, ("cpu",), PairChoices(states=("none",)))


def test_quantized_layers_are_kept_in_torchscript_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kinds = {nn.LSTM, nn.Linear}
        module = torch.ao.quantization.quantize_dynamic(Net().eval(), kinds, dtype=torch.qint8)
    export_torchscript(module, X, tmp_path / "m.pt", dynamic_axes=BATCH_TIME)
    x = torch.randn(3, 9, 3)
    with torch.no_grad():
        assert (traced(tmp_path / "m.pt", [x])[0] - module(x)).abs().max() < 1e-3
    with pytest.raises(MalformedError, match=r"'rnn' \(LSTM\) to ONNX: it is quantized.*float mod"):
        export_onnx(module, X, tmp_path / "m.onnx")
