"""Modules of every kind: wrapped, hooked, trained, quantized, in TorchScript, of other numbers."""

import copy
import re
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from module_files import close, infer, operators, traced
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from pipeline.errors import MalformedError, UsageError
from pipeline.export import export_onnx, export_torchscript
from pipeline.export.module import apart
from pipeline.export.quiet import quiet_exporter
from pipeline.export.state import explicit
from pipeline.validate.foreign import ForeignFile, validate_pair
from pipeline.validate.foreign.pair import PairChoices

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


def trained(module: nn.Module) -> nn.Module:
    """After two steps, the weights that hooks have set are those of before the second."""
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        module(X).pow(2).mean().backward()
        optimizer.step()
    return module


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
