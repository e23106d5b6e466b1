"""Modules that cannot be exported are refused by name, with the place and the reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from plain_modules import BATCH_TIME, Plain, Refuses
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from pipeline.errors import MalformedError, ParityError, UsageError
from pipeline.export import export_onnx, export_torchscript


class Stepwise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.size(0), 3)
        for step in x.unbind(1):
            h = self.cell(step, h)
        return h


class Leaping(Stepwise):
    """A loop over every other step, whose steps are not all alike."""

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.size(0), 3)
        for place in range(0, x.size(1), 2):
            h = self.cell(x[:, place], h)
        return h


class Bessel(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.special.bessel_j0(x)
        return y


class OneGru(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.GRU(3, 3)


class TakesPacked(OneGru):
    def forward(self, x: Any) -> Any:
        return self.layers(x)[0]


class HandMade(OneGru):
    def forward(self, x: Tensor) -> Tensor:
        sizes = torch.tensor([x.size(0)] * x.size(1))
        h: Tensor = self.layers(PackedSequence(x.transpose(0, 1).flatten(0, 1), sizes))[1]
        return h


class Mistaken(TakesPacked):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.GRU(4, 3)


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "branch": (Refuses(), r"'1\.inner' \(Refuses\).* depends on numbers"),
    "loop": (Leaping(), r"'1\.inner' \(Leaping\).* loop at test_module_refusals.* torch's scan"),
    "operator": (Bessel(), r"'1\.inner' \(Bessel\).* No ONNX function found"),
    "packed by hand": (HandMade(), r"'1\.inner\.layers' \(GRU\).* pack_padded_sequence"),
    "size": (Mistaken(), "fails in PyTorch already, at .*: RuntimeError: .* Expected 4, got 3"),
}


class Inside(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exported_is_refused_with_its_place_and_reason(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    inner, message = REFUSED[case]
    module = nn.Sequential(nn.Linear(3, 3), Inside(inner))
    axes = {"input": {0: "batch", 1: "time"}}
    with pytest.raises(MalformedError, match=message) as refused:
        export_onnx(module, torch.randn(2, 4, 3), tmp_path / "m.onnx", dynamic_axes=axes)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_a_loop_over_an_axis_that_is_not_dynamic_is_exported(tmp_path: Path) -> None:
    axes = {"x": {0: "batch"}}
    export_onnx(Stepwise(), torch.randn(2, 4, 3), tmp_path / "m.onnx", dynamic_axes=axes)


def test_packed_inputs_and_outputs_are_refused(tmp_path: Path) -> None:
    packed = pack_padded_sequence(torch.randn(4, 2, 3), torch.tensor([4, 2]))
    with pytest.raises(MalformedError, match="takes a PackedSequence as 'x'"):
        export_onnx(TakesPacked(), (packed,), tmp_path / "m.onnx")

    class GivesPacked(OneGru):
        def forward(self, x: Tensor, lengths: Tensor) -> Any:
            return self.layers(pack_padded_sequence(x, lengths))[0]

    with pytest.raises(MalformedError, match=r"gives a PackedSequence.*pad_packed_sequence"):
        export_onnx(
            GivesPacked(), (torch.randn(4, 2, 3), torch.tensor([4, 2])), tmp_path / "m.onnx"
        )


class Pooled(OneGru):
    """The mean over the steps that pad_packed_sequence gives, so over the longest sequence."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.layers(packed)[0], batch_first=True)[0].mean(1)


def test_a_module_that_counts_the_padding_is_refused(tmp_path: Path) -> None:
    inputs = torch.randn(2, 4, 3), torch.tensor([4, 2])
    axes = BATCH_TIME | {"lengths": {0: "batch"}}
    with pytest.raises(ParityError, match=r"output 0 is off by.*total_length"):
        export_onnx(Pooled(), inputs, tmp_path / "m.onnx", dynamic_axes=axes)
    full = torch.randn(3, 7, 3), torch.tensor([2, 7, 7])  # as it is meant to be used
    export_onnx(
        Pooled(), inputs, tmp_path / "m.onnx", dynamic_axes=axes, check_inputs=[full, inputs]
    )
    with pytest.raises(UsageError, match="check_inputs has 1 tensors, not 2"):
        export_onnx(Pooled(), inputs, tmp_path / "m.onnx", check_inputs=[full[:1]])


def test_an_axis_that_cannot_change_in_pytorch_is_refused(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    axes = {"input": {1: "time"}}
    with pytest.raises(MalformedError, match="'time' that PyTorch runs at no other size"):
        export_onnx(module, torch.randn(2, 4, 3), tmp_path / "m.onnx", dynamic_axes=axes)


def test_what_onnx_runtime_cannot_run_is_refused(tmp_path: Path) -> None:
    module = Plain(nn.LSTM(3, 4), 4).double()
    with pytest.raises(MalformedError, match=r"no recurrent layer of float64; give .*float\(\)"):
        export_onnx(module, torch.randn(2, 4, 3).double(), tmp_path / "m.onnx")


def test_unbatched_input_and_declared_names(tmp_path: Path) -> None:
    export_onnx(
        nn.LSTM(3, 4, bidirectional=True, proj_size=2),
        torch.randn(5, 3),
        tmp_path / "m.onnx",
        input_names=["frames"],
        output_names=["y", "h", "c"],
        dynamic_axes={"frames": {0: "time"}, "y": {0: "time"}},
    )
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert [value.name for value in (*graph.input, *graph.output)] == ["frames", "y", "h", "c"]
    assert graph.output[0].type.tensor_type.shape.dim[0].dim_param == "time"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dynamic_axes": {"y": {0: "batch"}}}, "no input or output is called 'y'"),
        ({"dynamic_axes": {"input": {3: "batch"}}}, "an axis of it is 0 to 2"),
        ({"dynamic_axes": {"input": {0: "n", 1: "n"}}}, "give the two sizes two names"),
        ({"input_names": ["a", "b"]}, "1 different input names are needed"),
        ({"output_names": ["a"]}, "2 different output names are needed"),
        ({"opset": 9}, "18 to 23"),
    ],
)
def test_wrong_names_axes_and_opsets_are_refused(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        export_onnx(nn.GRU(3, 4), torch.randn(4, 2, 3), tmp_path / "m.onnx", **options)


class Carries(OneGru):
    """Keeps its state to itself, where a pure function cannot see it."""

    h: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("h", torch.zeros(1, 2, 3))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor
        y, self.h = self.layers(x, self.h)
        return y


class Draws(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


@pytest.mark.parametrize(
    ("inner", "message"),
    [(Carries(), r"since it keeps '1\.h'; a graph"), (Draws(), "since it draws random numbers")],
)
@pytest.mark.parametrize("export", [export_onnx, export_torchscript])
def test_what_is_no_function_of_its_inputs_is_refused(
    export: Callable[..., None], inner: nn.Module, message: str, tmp_path: Path
) -> None:
    with pytest.raises(MalformedError, match=message):
        export(nn.Sequential(nn.Identity(), inner), torch.randn(4, 2, 3), tmp_path / "model")
    assert not list(tmp_path.iterdir())
