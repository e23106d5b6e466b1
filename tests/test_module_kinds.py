"""Modules of every kind: trained with hooks, wrapped, with other numbers."""

import copy
import re
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checked_modules import Net, X, check
from module_files import infer, operators, traced
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from pipeline.errors import MalformedError, UsageError
from pipeline.export import export_onnx, export_torchscript
from pipeline.export.module import apart


def trained(module: nn.Module) -> nn.Module:
    """After two steps, the weights that hooks have set are those of before the second."""
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        module(X).pow(2).mean().backward()
        optimizer.step()
    return module


def hooked_weight_norm(net: Net) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(net.rnn, "weight_hh_l0")
        nn.utils.weight_norm(net.out)


def hooked_spectral_norm(net: Net) -> None:
    nn.utils.spectral_norm(net.rnn, "weight_hh_l0")
    nn.utils.spectral_norm(net.out)


def parametrized(net: Net) -> None:
    parametrizations.weight_norm(net.rnn, "weight_ih_l0")
    parametrizations.spectral_norm(net.rnn, "weight_hh_l0")
    parametrizations.orthogonal(net.out)


def pruned(net: Net) -> None:
    prune.l1_unstructured(net.rnn, "weight_hh_l0", 0.5)
    prune.l1_unstructured(net.out, "weight", 0.5)


@pytest.mark.parametrize("change", [hooked_weight_norm, hooked_spectral_norm, parametrized, pruned])
def test_weights_that_are_computed_at_every_call_are_those_of_now(
    change: Callable[[Net], None], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    check(trained(Net(change)), tmp_path)
    assert operators(tmp_path / "m.onnx")["LSTM"] == 1


class Keeps(nn.Module):
    """Keeps what it computed last, and a lock; its ``train`` and ``eval`` give None."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.dropout = nn.GRU(3, 5, batch_first=True), nn.Dropout(0.5)
        self.lock, self.last = threading.Lock(), torch.zeros(())

    def train(self, mode: bool = True) -> Any:
        super().train(mode)

    def eval(self) -> Any:
        super().eval()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout(self.rnn(x)[0])
        if torch.is_grad_enabled():
            self.last, self.losses = y.sum(), [y.mean()]
        return y


def test_tensors_with_gradients_locks_and_an_eval_that_gives_none(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = trained(Keeps())
    assert not module.last.is_leaf
    check(module, tmp_path)


def test_wrappers_are_taken_off(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Net()
    wrappers: list[nn.Module] = [
        torch.compile(net, backend="eager"),  # type: ignore[list-item]
        nn.DataParallel(net),
        torch.optim.swa_utils.AveragedModel(net),
    ]
    inside = Net(lambda net: setattr(net, "out", nn.DataParallel(net.out)))
    for module in wrappers:
        check(module, tmp_path, copy.deepcopy(net))
    check(inside, tmp_path)


class Attached(nn.Module):
    """Has a property that raises, as a LightningModule outside of a trainer."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self._trainer = nn.GRU(3, 5, batch_first=True), None

    @property
    def trainer(self) -> Any:
        if self._trainer is None:
            raise RuntimeError("it is not attached to a Trainer")
        return self._trainer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rnn(x)[0]
        return y


def test_properties_that_raise_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    check(Attached(), tmp_path)
    trains = Attached()
    trains._trainer = (step for step in range(3))  # type: ignore[assignment]  # cannot be copied
    check(trains, tmp_path)


def test_hooks_of_the_module_run(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Net()
    module.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
    module.register_forward_hook(lambda module, inputs, y: y + inputs[0].sum())
    check(module, tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_numbers_that_onnx_runtime_does_not_run_are_refused(
    dtype: torch.dtype, layer: Any, tmp_path: Path
) -> None:
    module = layer(3, 5).to(dtype)
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(MalformedError, match=rf"no recurrent layer of {name}; give .*\.float\(\)"):
        export_onnx(module, X.to(dtype), tmp_path / "m.onnx")
    export_torchscript(module, X.to(dtype), tmp_path / "m.pt")
    with torch.no_grad():
        (found, *_), expected = traced(tmp_path / "m.pt", [X.to(dtype)]), module(X.to(dtype))[0]
    assert torch.allclose(found, expected, rtol=0.01, atol=0.01)


def test_other_layers_may_have_other_numbers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, x = nn.Linear(3, 2).double(), X.double()
    export_onnx(module, x, tmp_path / "m.onnx")
    with torch.no_grad():
        assert torch.allclose(infer(tmp_path / "m.onnx", [x])[0], module(x), atol=1e-12)
    with pytest.raises(MalformedError, match=r"few operators of bfloat16.*\.float\(\)"):
        export_onnx(module.bfloat16(), X.bfloat16(), tmp_path / "m.onnx")
    with pytest.raises(MalformedError, match=r"does not run Conv1d.*float64; give.*\.float\(\)"):
        export_onnx(nn.Conv1d(4, 4, 1).double(), x, tmp_path / "m.onnx")


def test_a_crash_of_onnx_runtime_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "InvalidProtobuf" in apart.fault_apart(b"no graph", {})
    ends = "import os, sys; os.kill(os.getpid(), 9)"  # as a crash inside of a library does
    monkeypatch.setattr(apart, "_START", ends)
    assert re.fullmatch(r"its process ended by -?\d+", apart.fault_apart(b"", {}))


class Twice(Net):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.rnn(x)[0] * 2 + self.rnn(x)[0])
        return y


def test_a_layer_that_is_called_twice_alike_may_be_one_node(tmp_path: Path) -> None:
    torch.manual_seed(0)
    check(Twice(), tmp_path)
    assert operators(tmp_path / "m.onnx")["LSTM"] == 1


class Mixed(Net):
    """Its head runs in bfloat16, or says that it does not; some processors have no such layers."""

    def __init__(self, mixed: bool) -> None:
        super().__init__()
        self.mixed = mixed

    def forward(self, x: Tensor) -> Tensor:
        y = self.rnn(x)[0]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.mixed):
            found: Tensor = self.out(y)
            return found


def test_autocast_inside_is_kept_where_it_is_off(tmp_path: Path) -> None:
    torch.manual_seed(0)
    check(Mixed(False), tmp_path)
    with pytest.raises(MalformedError, match=r"numbers of bfloat16 inside; leave torch\.autocast"):
        export_onnx(Mixed(True), X, tmp_path / "mixed.onnx")


class Uncopied:
    """Holds a tensor, and cannot be copied."""

    def __init__(self) -> None:
        self.x = X

    def __deepcopy__(self, memo: Any) -> Any:
        raise ValueError("there is one of me")


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "class": (Net, UsageError, r"Net is no module but a type; call it, Net\(…\)"),
    "function": (torch.tanh, UsageError, "tanh is no module.*; give an nn.Module"),
    "meta": (nn.Linear(3, 3, device="meta"), MalformedError, "'weight' of Linear is on.*'meta'"),
    "copy": (
        Net(lambda net: setattr(net.rnn, "kept", [Uncopied()])), MalformedError,
        r"Net, whose attribute 'rnn\.kept' fails, cannot be copied: ValueError: there is one of me"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_module_to_export_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    module, error, message = WRONG[case]
    for export in (export_onnx, export_torchscript):
        with pytest.raises(error, match=message):
            export(module, X, tmp_path / "m")


class Aliased(nn.Module):
    """Steps over time with a weight that it reads from where it keeps it a second time."""

    def __init__(self, keep: Callable[[Tensor], Any], read: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3))
        self.kept, self.read = keep(self.weight), read

    def step(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(x + h @ self.read(self.kept))

    def forward(self, x: Tensor) -> Tensor:
        h, outputs = torch.zeros_like(x[:, 0]), []
        for t in range(x.size(1)):
            h = self.step(x[:, t], h)
            outputs.append(h)
        return torch.stack(outputs, 1)


@pytest.mark.parametrize(
    ("keep", "read"),
    [
        (lambda weight: {"w": weight}, lambda kept: kept["w"]),
        (lambda weight: [weight], lambda kept: kept[0]),
        (lambda weight: {"a": [{"w": weight}]}, lambda kept: kept["a"][0]["w"]),
        (lambda weight: ([weight], 1), lambda kept: kept[0][0]),
    ],
)
def test_weights_that_are_also_kept_in_containers_are_those_of_the_module(
    keep: Callable[[Tensor], Any], read: Callable[[Any], Tensor], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module = Aliased(keep, read)
    check(module, tmp_path)
    assert read(module.kept) is module.weight
    module.weight.data.mul_(2)
    check(module, tmp_path)
