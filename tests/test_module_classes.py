"""Classes of a module: others derived from recurrent layers, and all are left as they were."""

import copy
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from module_files import close, eager, infer, operators
from plain_modules import BATCH_TIME, Plain, Refuses
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from pipeline.errors import MalformedError
from pipeline.export import export_onnx
from pipeline.export.module.swap import exportable
from pipeline.export.recurrent import OnnxLayers


def snapshot(module: nn.Module) -> list[object]:
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    return [
        [(name, type(child), child.training) for name, child in module.named_modules()],
        [(name, sorted(vars(child))) for name, child in module.named_modules()],
        [(name, tensor.tolist()) for name, tensor in state.items()],
        [parameter.requires_grad for parameter in module.parameters()],
    ]


@pytest.mark.parametrize("fails", [False, True])
def test_the_module_is_left_as_it_was(fails: bool, tmp_path: Path) -> None:
    module = nn.Sequential(Plain(nn.LSTM(3, 4, 2, dropout=0.5), 4), nn.BatchNorm1d(2).eval())
    module[1] = Refuses() if fails else nn.Dropout(0.5)
    forwards = [kind.forward for kind in (nn.RNN, nn.LSTM, nn.GRU)]
    before = snapshot(module)
    if fails:
        with pytest.raises(MalformedError):
            export_onnx(module, torch.randn(3, 2, 3), tmp_path / "m.onnx")
    else:
        export_onnx(module, torch.randn(3, 2, 3), tmp_path / "m.onnx")
    assert snapshot(module) == before
    assert module.training
    assert forwards == [kind.forward for kind in (nn.RNN, nn.LSTM, nn.GRU)]
    assert (tmp_path / "m.onnx").exists() is not fails
    layers = copy.deepcopy(module)
    with exportable(layers):
        assert any(isinstance(child, OnnxLayers) for child in layers.modules())
    assert snapshot(layers) == before


class Own(nn.LSTM):
    """A class of LSTM that someone wrote, by ``super()``."""

    def forward(self, x: Any, hx: Any = None, scale: float = 2.0) -> Any:
        y, state = super().forward(x, hx)
        return (y if isinstance(y, PackedSequence) else scale * y), state


class Named(nn.GRU):
    """A class of GRU that calls PyTorch's method by its name."""

    def forward(self, x: Any, hx: Any = None) -> Any:
        y, state = nn.GRU.forward(self, x, hx)
        return y, -state


class Shouts(nn.RNN):
    """A class that adds nothing that runs."""


class Outsiders(nn.Module):
    """Layers of classes that are not torch's own, and of those that are; one is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.named = Own(3, 3, batch_first=True), Named(3, 3, 2, batch_first=True)
        self.shouts = Shouts(3, 3, batch_first=True, bidirectional=True)
        self.plain = nn.LSTM(6, 3, batch_first=True)
        weight_norm(self.plain, "weight_hh_l0")
        self.plain.register_forward_hook(lambda layer, x, y: (y[0] + 1, y[1]))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        x, _ = self.own(x, scale=0.5)
        y, state = self.named(x)
        x = x + self.own(y)[0]
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        packed, _ = self.named(self.own(packed)[0], state)
        y, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.size(1))
        found: Tensor = self.plain(self.shouts(y)[0])[0]
        return found if isinstance(self.plain, nn.LSTM) else -found


def test_classes_that_others_derived_from_recurrent_layers_are_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Outsiders().eval()
    inputs = torch.randn(2, 4, 3), torch.tensor([4, 2])
    axes = BATCH_TIME | {"lengths": {0: "batch"}}
    export_onnx(module, inputs, tmp_path / "m.onnx", dynamic_axes=axes)
    others = torch.randn(3, 7, 3), torch.tensor([5, 7, 1])
    assert close(infer(tmp_path / "m.onnx", others), eager(module, others))
    found = operators(tmp_path / "m.onnx")
    assert {name: found[name] for name in ("LSTM", "GRU", "RNN")} == {"LSTM": 4, "GRU": 4, "RNN": 1}


class AsksForItsClass(Plain):
    def forward(self, x: Tensor) -> Tensor:
        y, state = self.layers(x)
        if type(self.layers) == nn.LSTM:  # noqa: E721, as many write it
            state = state[0]
        found: Tensor = self.head(y + state.transpose(0, 1))
        return found


def test_a_layer_of_torchs_own_class_keeps_it_during_the_export(tmp_path: Path) -> None:
    module = AsksForItsClass(nn.LSTM(3, 4, batch_first=True), 4).eval()
    export_onnx(module, torch.randn(2, 4, 3), tmp_path / "m.onnx", dynamic_axes=BATCH_TIME)
    x = torch.randn(3, 9, 3)
    assert close(infer(tmp_path / "m.onnx", [x]), eager(module, [x]))


def test_layers_outside_of_the_module_run_unchanged_while_it_is_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    outside, x = nn.LSTM(3, 4), torch.randn(5, 2, 3)
    expected, forward = eager(outside, [x]), nn.LSTM.forward
    unchanged: list[bool] = []

    def elsewhere() -> None:
        packed = outside(pack_padded_sequence(x, torch.tensor([5, 5])))[0]
        found = [*eager(outside, [x]), packed.data.unflatten(0, (5, 2))]
        unchanged.append(nn.LSTM.forward is forward and close(found, [*expected, expected[0]]))

    class Meanwhile(Plain):
        def forward(self, x: Tensor) -> Tensor:
            thread = Thread(target=elsewhere)
            thread.start()
            thread.join()
            return super().forward(x)

    module = Meanwhile(nn.LSTM(3, 4), 4)
    export_onnx(module, torch.randn(4, 2, 3), tmp_path / "m.onnx")
    assert len(unchanged) > 1
    assert all(unchanged)


def test_two_modules_are_made_exportable_at_once() -> None:
    torch.manual_seed(0)
    first, second = (Plain(nn.LSTM(3, 4), 4).eval() for _ in range(2))
    x, forward = torch.randn(4, 2, 3), nn.LSTM.forward
    expected = eager(first, [x]) + eager(second, [x])
    with ExitStack() as ends_first:
        ends_first.enter_context(exportable(first))
        with ThreadPoolExecutor(1) as other:
            ends_last = exportable(second)
            other.submit(ends_last.__enter__).result()
            found = eager(first, [x])
            ends_first.close()
            found += other.submit(eager, second, [x]).result()
            other.submit(ends_last.__exit__, None, None, None).result()
    assert close(found, expected)
    assert nn.LSTM.forward is forward
    assert [type(child) for child in second.modules()] == [Plain, nn.LSTM, nn.Linear]
