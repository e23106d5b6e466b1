"""State made explicit: what is lifted, from where, and with which initial value."""

import copy
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from module_files import written
from stateful_modules import BATCH, TIME, Tagger
from torch import Tensor, nn

from pipeline.errors import MalformedError, UsageError
from pipeline.export import export_torchscript
from pipeline.export.state import Explicit, explicit


def stepped(pure: Explicit, calls: list[Any], session: Any = None) -> list[Any]:
    """The first output of each call; ``calls`` hold one input each, and states are fed back."""
    first = calls[0]
    axis = pure.contract.axis(pure.contract.batch, pure.contract.inputs[0].name)
    states = pure.start(1 if axis is None else first.size(axis))
    found = []
    names = [spec.name for spec in pure.contract.outputs]
    for x in calls:
        given = [x.numpy(), *states.values()]
        if session is None:
            results = [y.numpy() for y in pure.module(*map(torch.tensor, given))]
        else:
            results = session.run(None, dict(zip(pure.example, given, strict=True)))
        named = dict(zip(names, results, strict=True))
        states = {before: named[after] for before, after in pure.contract.states}
        found.append(results[0])
    return found


def eager(module: nn.Module, calls: list[Any]) -> list[Any]:
    module = copy.deepcopy(module).eval()
    with torch.no_grad():
        return [module(x).numpy() for x in calls]


def close(found: list[Any], expected: list[Any]) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_layer_that_is_called_without_a_state_gets_one() -> None:
    pure = explicit(Tagger(), torch.randn(2, 4, 3), axes=TIME)
    assert [str(spec) for spec in (*pure.contract.inputs, *pure.contract.outputs)] == [
        "x [batch, time, 3]",
        "lstm_h [2, batch, 4]",
        "lstm_c [2, batch, 4]",
        "y [batch, time, 2]",
        "next_lstm_h [2, batch, 4]",
        "next_lstm_c [2, batch, 4]",
    ]
    assert pure.contract.states == (("lstm_h", "next_lstm_h"), ("lstm_c", "next_lstm_c"))
    assert (pure.contract.batch, pure.contract.time) == ("batch", "time")
    assert pure.initial == {"lstm_h": 0, "lstm_c": 0}
    row = pure.described[0]
    assert row.where == "layer 'lstm', called with no state"
    assert (row.type, row.shape, row.initial) == ("float32", "[2, batch, 4]", "zeros")
    assert {name: list(tensor.shape) for name, tensor in pure.example.items()} == {
        "x": [2, 4, 3],
        "lstm_h": [2, 2, 4],
        "lstm_c": [2, 2, 4],
    }


def test_without_a_time_axis_a_layer_begins_anew_at_every_call() -> None:
    pure = explicit(Tagger(), torch.randn(2, 4, 3), axes=BATCH)
    assert pure.contract.states == ()
    assert pure.contract.time is None


class Ring(nn.Module):
    """The mean of the last four frames, in a ring buffer with a counter of Python or of torch."""

    def __init__(self, counter: Any) -> None:
        super().__init__()
        self.register_buffer("frames", torch.zeros(1, 4, 3))
        self.place = counter

    def forward(self, x: Tensor) -> Tensor:
        frames = self.get_buffer("frames")
        frames[:, self.place % 4] = x
        self.place = self.place + 1
        return x - frames.mean(1) + 0 * frames[:, (self.place + 1) % 4]


@pytest.mark.parametrize("counter", [0, torch.tensor(0)])
def test_a_ring_buffer_and_its_counter_are_states_of_a_graph(counter: Any, tmp_path: Path) -> None:
    module = Ring(counter)
    pure = explicit(module, torch.randn(1, 3), axes=BATCH)
    assert [(row.name, row.type, row.shape) for row in pure.described] == [
        ("place", "int64", "[]"),
        ("frames", "float32", "[batch, 4, 3]"),
    ]
    calls = [torch.randn(1, 3) for _ in range(7)]
    expected = eager(module, calls)
    close(stepped(pure, calls), expected)
    close(stepped(pure, calls, written(pure, tmp_path / "m.onnx")), expected)


class Memory:
    """What someone's class remembers."""

    def __init__(self) -> None:
        self.level = torch.ones(1, 3)


class Several(nn.Module):
    """States of many types and places, one of them only written, one a flag that is set once."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory()
        self.nested: Any = {
            "a": [torch.zeros(1, 3), None],
            "b": (torch.zeros(1, 3, dtype=torch.bool),),
        }
        self.begun = False
        self.steps = 0
        self.seen: list[Tensor] = []
        self.mask: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.begun:
            self.scale, self.begun = torch.full((1,), 2.0), True
        if self.mask is None or self.mask.size(0) != x.size(0):
            self.mask = torch.ones(x.size(0), 1)
        self.seen.append(x)
        total, high = self.nested["a"][0] + x, self.nested["b"][0] | (x > 1)
        self.nested = {"a": [total, None], "b": (high,)}
        self.memory.level = self.memory.level * 0.5 + x
        self.steps += 1
        y: Tensor = total * self.scale + self.memory.level + high + 0.1 * self.steps
        return y * self.mask


def test_states_of_all_types_and_places_are_found_and_others_are_not() -> None:
    module = Several()
    pure = explicit(module, torch.randn(1, 3), axes=BATCH)
    assert {row.where: (row.type, row.initial) for row in pure.described} == {
        "attribute 'memory.level'": ("float32", "1.0"),
        "attribute 'nested', tensor 0": ("float32", "zeros"),
        "attribute 'nested', tensor 2": ("bool", "False"),
        "attribute 'steps'": ("int64", "zeros"),
    }
    calls = [torch.randn(1, 3) for _ in range(5)]
    close(stepped(pure, calls), eager(module, calls))
    assert module.seen == []
    assert not module.begun


def test_a_call_of_the_pure_module_leaves_nothing_behind() -> None:
    pure = explicit(Several(), torch.randn(1, 3), axes=BATCH)
    body = pure.module.body
    before = {key: id(value) for key, value in vars(body).items()}
    given = [tensor.clone() for tensor in pure.example.values()]
    once, again = pure.module(*given), pure.module(*given)
    assert all(map(torch.equal, once, again))
    assert all(map(torch.equal, given, pure.example.values()))
    assert {key: id(value) for key, value in vars(body).items()} == before


class Begins(nn.Module):
    """A state that is None at first, and then begins in a way of its own."""

    def __init__(self, begin: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.begin, self.h = [begin], None
        self.first = nn.Parameter(torch.tensor([[0.5, -1.0, 2.0]]))

    def forward(self, x: Tensor) -> Tensor:
        h = self.begin[0](self, x) if self.h is None else self.h
        self.h = torch.tanh(0.5 * h + x).detach()  # type: ignore[assignment]
        return h + x


@pytest.mark.parametrize(
    ("begin", "initial"),
    [
        (lambda module, x: torch.zeros(x.size(0), 3), "zeros"),
        (lambda module, x: torch.ones_like(x), "1.0"),
        (lambda module, x: module.first.expand(x.size(0), -1), "0.5, -1, 2"),
    ],
)
def test_the_value_of_a_state_that_is_none_at_first_is_found(begin: Any, initial: str) -> None:
    module = Begins(begin)
    pure = explicit(module, torch.randn(2, 3), axes=BATCH)
    assert [(row.name, row.shape, row.initial) for row in pure.described] == [
        ("h", "[batch, 3]", initial)
    ]
    calls = [torch.randn(4, 3) for _ in range(3)]
    close(stepped(pure, calls), eager(module, calls))


def test_a_value_that_cannot_be_found_is_asked_for() -> None:
    module = Begins(lambda module, x: x * 3)
    with pytest.raises(MalformedError, match=r"keeps 'h', whose value before the first call"):
        explicit(module, torch.randn(2, 3), axes=BATCH)


class Bands(nn.Module):
    """A layer along the bands of every step, and one along the time of every band."""

    def __init__(self, outside: bool) -> None:
        super().__init__()
        self.across = nn.GRU(3, 3, batch_first=True)
        self.along = nn.GRU(3, 3, batch_first=True)
        self.outside = outside

    def forward(self, x: Tensor) -> Tensor:
        """x ``[batch, time, bands, 3]`` to the same."""
        batch, time, bands, size = x.shape
        y = self.across(x.reshape(batch * time, bands, size))[0].reshape(batch, time, bands, size)
        order = (0, 2, 1, 3) if self.outside else (2, 0, 1, 3)
        rows = y.permute(*order).reshape(batch * bands, time, size)
        z = self.along(rows)[0].reshape(*y.permute(*order).shape)
        found: Tensor = z.permute(*((0, 2, 1, 3) if self.outside else (1, 2, 0, 3)))
        return found


@pytest.mark.parametrize("outside", [False, True])
def test_a_layer_over_the_bands_of_a_spectrum_keeps_a_row_for_each(
    outside: bool, tmp_path: Path
) -> None:
    module = Bands(outside).eval()
    pure = explicit(module, torch.randn(2, 4, 5, 3), axes=TIME)
    shape = "[1, batch, 5, 3]" if outside else "[1, 5, batch, 3]"
    assert [(row.name, row.shape) for row in pure.described] == [("along_h", shape)]
    session = written(pure, tmp_path / "m.onnx")
    assert Counter(node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node)["GRU"] == 2
    x = torch.randn(3, 9, 5, 3)
    found = np.concatenate(stepped(pure, list(x.split([2, 1, 6], 1)), session), 1)
    close([found], eager(module, [x]))


class Asks(nn.Module):
    """A Python condition asks which call it is, long after the second."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Any = None

    def forward(self, x: Tensor) -> Tensor:
        self.calls = (self.calls or 0) + (1 if x.sum() != 0 else 0)
        return x * (2 if self.calls > 2 else 1)


def test_a_counter_of_python_that_is_asked_is_right_in_eager_pytorch() -> None:
    module = Asks()
    pure = explicit(module, torch.randn(1, 3), axes=BATCH)
    calls = [torch.randn(1, 3) for _ in range(4)]
    close(stepped(pure, calls), eager(module, calls))


def test_torchscript_and_the_names_of_axes_that_are_told(tmp_path: Path) -> None:
    axes = {"x": {0: "rows", 1: "steps"}}
    pure = explicit(Tagger(), torch.randn(2, 4, 3), axes=axes, batch="rows", time="steps")
    assert (pure.contract.batch, pure.contract.time) == ("rows", "steps")
    names = list(pure.example)
    export_torchscript(
        pure.module,
        tuple(pure.example.values()),
        tmp_path / "m.pt",
        input_names=names,
        dynamic_axes={name: pure.axes[name] for name in names},
    )
    with pytest.raises(UsageError, match="states is 'all'"):
        explicit(Tagger(), torch.randn(2, 4, 3), axes=axes, states="all")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no input or output is called 'y'"):
        explicit(Tagger(), torch.randn(2, 4, 3), axes={"y": {0: "batch"}})
