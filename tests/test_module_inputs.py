"""What a module is called with: its arguments of every kind, and their names and axes."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from module_files import close, traced
from tiny import open_session
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pipeline.errors import MalformedError, PipelineError, UsageError
from pipeline.export import export_onnx, export_torchscript
from pipeline.export.quiet import quiet_exporter
from pipeline.validate.foreign.pair import PairChoices
from pipeline.validate.foreign.run import ForeignFile, validate_pair

BATCH_TIME = {"x": {0: "batch", 1: "time"}}


def run(path: Path, **inputs: Tensor) -> list[Tensor]:
    """What ONNX Runtime gives for the inputs, which have to be all that the file has."""
    session = open_session(path)
    assert {item.name for item in session.get_inputs()} == set(inputs)
    feeds = {name: tensor.numpy() for name, tensor in inputs.items()}
    return [torch.from_numpy(y) for y in session.run(None, feeds)]


def outputs_of(path: Path) -> list[str]:
    return [value.name for value in onnx.load(path).graph.output]


def axes_of(path: Path) -> dict[str, list[str | int]]:
    return {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in onnx.load(path).graph.input
    }


class Options(nn.Module):
    """A layer with arguments of all plain kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(
        self,
        x: Tensor,
        hx: Tensor | None = None,
        double: bool = False,
        times: int = 1,
        mode: str = "both",
        *,
        bias: Tensor | None = None,
    ) -> Any:
        y, h = self.rnn(x, hx)
        y = (y * 2 if double else y) * times
        y = y if bias is None else y + bias
        return (y, h) if mode == "both" else y


X, H, BIAS = torch.randn(2, 4, 3), torch.randn(1, 2, 4), torch.randn(4)
CALLS: dict[str, tuple[Any, dict[str, Any] | None]] = {
    "none": ((X, None), None),
    "constants": ((X, None, True, 3, "y"), None),
    "last is a dictionary": ((X, H, {"bias": BIAS, "times": 2}), None),
    "whole is a dictionary": ({"x": X, "hx": H}, None),
    "keywords": (X, {"bias": BIAS, "double": True}),
    "no keywords": ((X, {}), None),
}


@pytest.mark.parametrize("call", CALLS)
def test_arguments_by_place_and_by_name_are_tensors_or_constants(call: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, (inputs, kwargs) = Options().eval(), CALLS[call]
    taken = dict(inputs) if isinstance(inputs, dict) else {}
    names = ("x", "hx", "double", "times", "mode")
    for place, value in enumerate(inputs if isinstance(inputs, tuple) else ()):
        taken |= value if isinstance(value, dict) else {names[place]: value}
    taken |= kwargs or {"x": X}
    taken["x"] = torch.randn(3, 7, 3)
    axes: dict[str, Any] = dict(BATCH_TIME)
    if isinstance(taken.get("hx"), Tensor):
        taken["hx"], axes["hx"] = torch.randn(1, 3, 4), {1: "batch"}
    export_onnx(module, inputs, tmp_path / "m.onnx", kwargs=kwargs, dynamic_axes=axes)
    export_torchscript(module, inputs, tmp_path / "m.pt", kwargs=kwargs, dynamic_axes=axes)
    tensors = {name: value for name, value in taken.items() if isinstance(value, Tensor)}
    with torch.no_grad(), quiet_exporter():
        results = module(**taken)
        expected = list(results) if isinstance(results, tuple) else [results]
        loaded = torch.jit.load(tmp_path / "m.pt")
        assert close(pytree.tree_leaves(loaded(**tensors)), expected)
    assert close(run(tmp_path / "m.onnx", **tensors), expected)


def test_a_dictionary_stays_an_argument_where_forward_takes_one(tmp_path: Path) -> None:
    class Batched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.rnn = nn.Embedding(9, 3), nn.LSTM(3, 4, batch_first=True)

        def forward(self, batch: dict[str, Tensor]) -> dict[str, Any]:
            y, state = self.rnn(self.embedding(batch["tokens"]) * batch["scale"])
            return {"logits": y, "state": state, "tokens": batch["tokens"] + 1}

    torch.manual_seed(0)
    module = Batched().eval()
    batch = {"tokens": torch.randint(9, (2, 4)), "scale": torch.tensor(2.0)}
    other = {"tokens": torch.randint(9, (3, 7)), "scale": torch.tensor(0.5)}
    axes: Any = {"tokens": [0, -1], "logits": {-3: "batch"}}
    with torch.no_grad():
        expected = pytree.tree_leaves(module(other))
    for inputs in (batch, (batch,)):
        export_onnx(module, inputs, tmp_path / "m.onnx", dynamic_axes=axes)
        export_torchscript(module, inputs, tmp_path / "m.pt", dynamic_axes=axes)
        assert outputs_of(tmp_path / "m.onnx") == ["logits", "state_0", "state_1", "output_tokens"]
        assert axes_of(tmp_path / "m.onnx") == {
            "tokens": ["tokens_dynamic_axes_1", "tokens_dynamic_axes_2"],
            "scale": [],
        }
        assert close(run(tmp_path / "m.onnx", **other), expected)
        assert close(traced(tmp_path / "m.pt", [other]), expected)


class State(NamedTuple):
    h: Tensor
    c: Tensor


@dataclass(frozen=True)
class Given:
    x: Tensor
    mask: Tensor | None = None
    scale: float = 2.0


@dataclass
class Result:
    y: Tensor
    state: State
    loss: Tensor | None = None


class Structured(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, batch_first=True)

    def forward(self, given: Given, state: State) -> Result:
        y, (h, c) = self.rnn(given.x, (state.h, state.c))
        return Result(y * given.scale, State(h, c))


def test_dataclasses_and_named_tuples_go_in_and_out_and_leave_no_trace(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, zeros = Structured().eval(), torch.zeros(1, 2, 4)
    known = set(pytree.SUPPORTED_NODES)
    axes = BATCH_TIME | {"h": {1: "batch"}, "state_1": {1: "batch"}}  # by field or by number
    inputs = Given(X), State(zeros, zeros)
    export_onnx(module, inputs, tmp_path / "m.onnx", dynamic_axes=axes)
    export_torchscript(module, inputs, tmp_path / "m.pt", dynamic_axes=axes)
    assert not {kind for kind in set(pytree.SUPPORTED_NODES) - known if kind in (Given, Result)}
    x, h, c = torch.randn(3, 7, 3), torch.randn(1, 3, 4), torch.randn(1, 3, 4)
    with torch.no_grad():
        result = module(Given(x), State(h, c))
    assert outputs_of(tmp_path / "m.onnx") == ["y", "output_h", "output_c"]
    assert [field.name for field in fields(result)] == ["y", "state", "loss"]
    expected = [result.y, *result.state]
    assert close(run(tmp_path / "m.onnx", x=x, h=h, c=c), expected)
    assert close(traced(tmp_path / "m.pt", [Given(x), State(h, c)]), expected)
    with quiet_exporter():
        loaded = torch.jit.load(tmp_path / "m.pt")
    assert close(pytree.tree_leaves(loaded.forward_of_tensors(x, h, c)), expected)


class Window(nn.Module):
    """A forecaster's forward: a dictionary with None for what is left out, flags and words."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(
        self, window: dict[str, Any], hx: Any, lengths: Tensor, *, mode: str = "mean"
    ) -> Tensor:
        y: Tensor = self.rnn(window["past"], hx)[0] * lengths[:, None, None]
        if window["future"] is not None:
            y = y + window["future"]
        return y.mean(1) if mode == "mean" else y


def test_torchscript_is_called_with_none_dictionaries_and_constants_as_the_module_is(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    module, path = Window().eval(), tmp_path / "m.pt"
    axes = {"past": {0: "batch", 1: "time"}, "lengths": {0: "batch"}}
    inputs = {"past": X, "future": None}, None, torch.rand(2)
    export_torchscript(module, inputs, path, kwargs={"mode": "mean"}, dynamic_axes=axes)
    export_onnx(module, inputs, tmp_path / "m.onnx", kwargs={"mode": "mean"}, dynamic_axes=axes)
    with quiet_exporter():
        loaded = torch.jit.load(path)
    window, lengths = {"past": torch.randn(3, 6, 3), "future": None}, torch.rand(3)
    with torch.no_grad():
        expected = [module(window, None, lengths)]
    assert close([loaded(window, None, lengths)], expected)
    assert close([loaded({"past": window["past"]}, None, lengths, mode="mean")], expected)
    wrong: list[tuple[Sequence[Any], dict[str, Any], str]] = [
        ((window, torch.zeros(1, 3, 4), lengths), {}, "'hx' is always None"),
        ((window, None, lengths), {"mode": "last"}, "'mode' is always mean"),
        ((window | {"future": lengths}, None, lengths), {}, r"'window\[future\]' is always None"),
        (({"past": None}, None, lengths), {}, r"'window\[past\]' is a tensor"),
    ]
    for args, kwargs, reason in wrong:
        with pytest.raises((RuntimeError, torch.jit.Error), match=reason):
            loaded(*args, **kwargs)
    files = ForeignFile("TorchScript", path), ForeignFile("ONNX", tmp_path / "m.onnx")
    (row,) = validate_pair(*files, ("cpu",), PairChoices(states=("none",))).rows
    assert row.status == "pass", row


def test_keys_that_are_the_same_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    class Sides(nn.Module):
        def forward(self, left: dict[str, Tensor], right: dict[str, Tensor]) -> Tensor:
            return left["x"] - right["x"]

    export_onnx(Sides(), ({"x": X}, {"x": X}), tmp_path / "m.onnx")
    (found,) = run(tmp_path / "m.onnx", left_x=X, right_x=X / 2)
    assert torch.equal(found, X / 2)


def test_one_tensor_given_twice_is_two_inputs(tmp_path: Path) -> None:
    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.LSTM(3, 4)
            self.other = self.one  # the same layer under two names

        def forward(self, x: Tensor, h: Tensor, c: Tensor) -> Tensor:
            y: Tensor = self.one(x, (h, c))[0] + self.other(x, (c, h))[0] * 2
            return y

    torch.manual_seed(0)
    module, zeros = Cell().eval(), torch.zeros(1, 2, 4)
    axes = {"x": {0: "time", 1: "batch"}, "h": {1: "batch"}, "c": {1: "batch"}}
    export_onnx(
        module, (torch.randn(5, 2, 3), zeros, zeros), tmp_path / "m.onnx", dynamic_axes=axes
    )
    x, h, c = torch.randn(7, 3, 3), torch.randn(1, 3, 4), torch.randn(1, 3, 4)
    with torch.no_grad():
        assert close(run(tmp_path / "m.onnx", x=x, h=h, c=c), [module(x, h, c)])


def test_axes_are_lists_or_count_from_the_last(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.GRU(3, 4, batch_first=True).eval()
    inputs, hx = torch.randn(3, 7, 3), torch.randn(1, 3, 4)
    with torch.no_grad():
        expected = list(module(inputs, hx))
    axes: Any
    for axes in (
        {"input": [0, 1], "hx": [-2]},
        {"input": {-3: "batch", -2: "time"}, "hx": {-2: "batch"}, "output_0": {-3: "batch"}},
    ):
        export_onnx(module, (X, H), tmp_path / "m.onnx", dynamic_axes=axes)
        assert close(run(tmp_path / "m.onnx", input=inputs, hx=hx), expected)
    assert axes_of(tmp_path / "m.onnx") == {"input": ["batch", "time", 3], "hx": [1, "batch", 4]}


@pytest.mark.parametrize("inputs", [X.numpy(), [X.numpy()], X.clone().requires_grad_(), X[:, :]])
def test_arrays_views_and_tensors_with_gradients_are_examples(inputs: Any, tmp_path: Path) -> None:
    module = Options().eval()
    export_onnx(
        module, (inputs, None, False, 1, "y") if not isinstance(inputs, Sequence) else inputs,
        tmp_path / "m.onnx", dynamic_axes=BATCH_TIME,
        check_inputs=[np.zeros((3, 2, 3), np.float32), {"x": torch.ones(1, 5, 3)}],
    )  # fmt: skip
    with torch.no_grad():
        assert close(run(tmp_path / "m.onnx", x=X)[:1], [module(X)[0]])


class HoldsTensors:
    def __init__(self) -> None:
        self.inner = {"x": [X]}


WRONG: dict[str, tuple[Any, type[PipelineError], str]] = {
    "lists": ([[[1.0, 2.0]]], MalformedError, r"no tensor among .* of Options; .*lists of numbers"),
    "text": ((np.array(["a"]),), MalformedError, r"takes a ndarray as 'x' of type <U1; a graph"),
    "sparse": (X.to_sparse(), MalformedError, "Tensor as 'x' that is torch.sparse"),
    "object": ((X, HoldsTensors()), MalformedError, r"HoldsTensors as 'hx', .* in a tuple, a list"),
    "too many": ((X,) * 9, MalformedError, "does not take these example inputs: too many"),
    "float64": ((X.double(),), MalformedError, r"already, at test_module_inputs.py:\d+: .*float64"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("export", [export_onnx, export_torchscript])
def test_wrong_inputs_are_refused_in_one_line(case: str, export: Any, tmp_path: Path) -> None:
    inputs, error, message = WRONG[case]
    with pytest.raises(error, match=message) as refused:
        export(Options(), inputs, tmp_path / "m")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ([0, 1], r"dynamic_axes is a list; give \{"),
        ({"x": "batch"}, "dynamic_axes of 'x' is 'batch'; give axes with names"),
        ({"x": [5]}, "dynamic_axes of 'x' has 5"),
        ({"x": {0: "a", -3: "b"}}, "two names for its axis 0, 'a' and 'b'"),
        ({"mask": [0], "x": [0]}, "no input or output is called 'mask'"),
    ],
)
def test_axes_that_cannot_be_are_refused(axes: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        export_onnx(Options(), (X,), tmp_path / "m.onnx", dynamic_axes=axes)


def test_an_axis_that_was_forgotten_is_named(tmp_path: Path) -> None:
    zeros = torch.zeros(1, 2, 4)
    with pytest.raises(MalformedError, match=r"'hx_0': \{1: 'n'\}, 'hx_1': \{1: 'n'\}"):
        export_onnx(
            nn.LSTM(3, 4), (torch.randn(5, 2, 3), (zeros, zeros)), tmp_path / "m.onnx",
            dynamic_axes={"input": {1: "n"}},
        )  # fmt: skip


def test_a_module_that_fails_says_where_in_its_authors_file(tmp_path: Path) -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(5, 5)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.out(x)
            return y

    line = Fails.forward.__code__.co_firstlineno + 1
    for export in (export_onnx, export_torchscript):
        with pytest.raises(MalformedError, match=f"at {Path(__file__).name}:{line}: RuntimeError"):
            export(Fails(), X, tmp_path / "m")
    assert not list(tmp_path.iterdir())
