"""A module of every kind, exported and compared."""

from collections.abc import Callable
from pathlib import Path

import torch
from module_files import close, infer, traced
from torch import Tensor, nn

from pipeline.export import export_onnx, export_torchscript
from pipeline.export.quiet import quiet_exporter

BATCH_TIME = {"x": {0: "batch", 1: "time"}}


X = torch.randn(2, 4, 3)


class Net(nn.Module):
    def __init__(self, change: Callable[["Net"], object] = lambda net: None) -> None:
        super().__init__()
        self.rnn, self.out = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 2)
        change(self)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.rnn(x)[0])
        return y


def check(module: nn.Module, path: Path, like: nn.Module | None = None) -> None:
    """Export to both formats; the files give what ``like``, or ``module`` in eval(), gives."""
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    attributes = {name: dict(vars(child)) for name, child in module.named_modules()}
    kinds = {name: type(child) for name, child in module.named_modules()}
    modes = [child.training for child in module.modules()]
    export_onnx(module, X, path / "m.onnx", dynamic_axes=BATCH_TIME)
    export_torchscript(module, X, path / "m.pt", dynamic_axes=BATCH_TIME)
    after = module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert kinds == {name: type(child) for name, child in module.named_modules()}
    for name, child in module.named_modules():
        assert all(vars(child)[key] is value for key, value in attributes[name].items())
        assert vars(child).keys() == attributes[name].keys()
    assert modes == [child.training for child in module.modules()]
    reference = module if like is None else like
    reference.eval()
    for batch, time in ((1, 1), (3, 9)):
        x = torch.randn(batch, time, 3)
        with torch.no_grad(), quiet_exporter():
            expected = [reference(x)]
        assert close(infer(path / "m.onnx", [x]), expected)
        assert close(traced(path / "m.pt", [x]), expected)
