"""State made explicit: what is lifted, from where, with which initial value; what is refused."""

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
from torch import Tensor, nn
from torch._higher_order_ops import scan

from pipeline.errors import MalformedError, UsageError
from pipeline.export import export_torchscript
from pipeline.export.state import Explicit, explicit

BATCH, TIME = {"x": {0: "batch"}}, {"x": {0: "batch", 1: "time"}}


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


class Tagger(nn.Module):
    """A layer without a state, as most people write it."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, 2, batch_first=True, **options)
        self.head = nn.Linear(4 * (1 + self.lstm.bidirectional), 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.lstm(x)[0])
        return y


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


class Policy(nn.Module):
    """A recurrent policy, whose state is an argument and a result, and is reset by a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor], *, done: Tensor) -> dict[str, Any]:
        h, c = (part * (~done)[:, None] for part in state)
        h, c = self.cell(x, (h, c))
        return {"logits": self.head(h), "after": (h, c)}


def test_an_argument_goes_with_the_result_that_is_told_or_found() -> None:
    zeros = torch.zeros(2, 4)
    given: Any = torch.randn(2, 3), (zeros, zeros)
    done = {"done": torch.tensor([True, False])}
    axes = {**BATCH, "done": {0: "batch"}}
    told = explicit(Policy(), given, done, axes=axes, states={"state": "after"})
    assert told.contract == explicit(Policy(), given, done, axes=axes).contract
    assert told.contract.states == (("state_0", "after_0"), ("state_1", "after_1"))
    assert [spec.name for spec in told.contract.inputs] == ["x", "done", "state_0", "state_1"]
    for states, message in (
        ({"stat": "after"}, "no input is called 'stat'"),
        ({"state": "later"}, "no result is called 'later'"),
        ({"state": "logits"}, "'state' has 2 tensors and 'logits' has 1"),
    ):
        with pytest.raises(UsageError, match=message):
            explicit(Policy(), given, done, axes=axes, states=states)


class Mixed(nn.Module):
    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return x * h


def test_without_a_time_axis_names_tell_the_pairs() -> None:
    given = torch.randn(2, 3), torch.zeros(2, 4)
    cell = explicit(nn.GRUCell(3, 4), given, axes={"input": {0: "batch"}})
    assert cell.contract.states == (("hx", "h"),)
    with pytest.raises(MalformedError, match="at no other size"):  # h is an input, of two rows
        explicit(Mixed(), (torch.randn(2, 3), torch.randn(2, 3)), axes=BATCH)
    axes = {**BATCH, "h": {0: "batch"}}
    mixed = explicit(Mixed(), (torch.randn(2, 3), torch.randn(2, 3)), axes=axes)
    assert mixed.contract.states == ()
    told = explicit(Mixed(), (torch.randn(2, 3), torch.ones(2, 3)), axes=axes, states={"h": 0})
    assert told.contract.states == (("h", "next_h"),)
    assert told.initial == {"h": 1}


class Crossed(nn.Module):
    """Two states of the same form, given back in the other order and by other names."""

    def forward(self, x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = []
        for step in x.unbind(1):
            a, b = torch.tanh(a + step), b * 0.5 + a
            rows.append(a - b)
        return torch.stack(rows, 1), b * 1, a * 1


def test_states_of_the_same_form_are_told_apart_by_trying() -> None:
    given = torch.randn(2, 4, 3), torch.randn(2, 3), torch.randn(2, 3)
    pure = explicit(Crossed(), given, axes=TIME)
    assert [row.where for row in pure.described] == [
        "argument 'a' → result 'output_2'",
        "argument 'b' → result 'output_1'",
    ]
    assert pure.contract.states == (("a", "next_a"), ("b", "next_b"))
    with pytest.raises(MalformedError, match="comes in pieces"):
        explicit(Crossed(), given, axes=TIME, states={"a": 1, "b": 2})


class Optional(nn.Module):
    """A state that may be left out."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y, hidden = self.gru(x, hidden)
        return y, hidden


def test_a_state_that_is_left_out_is_supplied_with_zeros() -> None:
    pure = explicit(Optional(), torch.randn(2, 4, 3), axes=TIME)
    assert [(row.name, row.shape, row.where) for row in pure.described] == [
        ("hidden", "[1, batch, 4]", "argument 'hidden' → result 'hidden'")
    ]
    whole = explicit(Optional(), torch.randn(2, 4, 3), axes=TIME, states="none")
    assert [spec.name for spec in whole.contract.inputs] == ["x"]
    assert whole.contract.states == ()


class Strided(nn.Module):
    """A convolution that needs two steps at once."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 3, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x.transpose(1, 2)).transpose(1, 2)
        return y


def test_a_layer_that_fails_on_a_piece_is_named_and_takes_whole_sequences() -> None:
    message = r"^'conv' \(Conv1d\) .* in pieces \(RuntimeError: .* reads steps outside of the piece"
    with pytest.raises(MalformedError, match=message):
        explicit(Strided(), torch.randn(2, 4, 3), axes=TIME)
    whole = explicit(Strided(), torch.randn(2, 4, 3), axes=TIME, states="none")
    assert str(whole.contract.outputs[0]) == "y [batch, y_axis_1, 3]"


class Centred(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


def test_a_whole_sequence_is_taken_on_request() -> None:
    module = Tagger(bidirectional=True)
    with pytest.raises(MalformedError, match=r"^'lstm' \(LSTM\) .* bidirectional.*states=\"none\""):
        explicit(module, torch.randn(2, 4, 3), axes=TIME)
    whole = explicit(module, torch.randn(2, 4, 3), axes=TIME, states="none")
    assert (whole.contract.states, whole.contract.batch, whole.contract.time) == ((), "batch", None)
    assert str(whole.contract.inputs[0]) == "x [batch, time, 3]"
    with pytest.raises(MalformedError, match="where a row of the batch is alone"):
        explicit(Centred(), torch.randn(2, 4, 3), axes=TIME)
    assert (
        explicit(Centred(), torch.randn(2, 4, 3), axes=TIME, states="none").contract.batch is None
    )


def test_a_whole_sequence_begins_with_what_the_module_keeps() -> None:
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.h = nn.GRU(3, 4, batch_first=True), None

        def forward(self, x: Tensor) -> Tensor:
            y, self.h = self.gru(x, self.h)
            return y  # type: ignore[no-any-return]

    pure = explicit(Keeps(), torch.randn(2, 4, 3), axes=TIME, states="none")
    x = torch.randn(3, 6, 3)
    (once,), (again,) = pure.module(x), pure.module(x)
    assert torch.equal(once, again)


class Scanned(nn.Module):
    """A loop over time by ``scan``, with a layer norm in its step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.norm = nn.GRUCell(3, 4), nn.LayerNorm(4)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        def step(h: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor]:
            h = self.norm(self.cell(x_t, h))
            return h, h.clone()

        last, y = scan(step, h, x, dim=1)
        return y, last


def test_a_state_of_scan_is_an_argument_and_a_result() -> None:
    pure = explicit(Scanned(), (torch.randn(2, 4, 3), torch.zeros(2, 4)), axes=TIME)
    assert pure.contract.states == (("h", "last"),)
    assert str(pure.contract.inputs[1]) == "h [batch, 4]"


class OneLength(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.flat(x)
        return y


def test_an_axis_that_has_one_size_only_is_told() -> None:
    with pytest.raises(MalformedError, match="PyTorch runs at no other size than the example's"):
        explicit(OneLength(), torch.randn(2, 4, 3), axes=TIME)
    assert explicit(OneLength(), torch.randn(2, 4, 3), axes=BATCH).contract.states == ()


class Grows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.past: Any = []

    def forward(self, x: Tensor) -> Tensor:
        self.past.append(x)
        return torch.stack(self.past).sum(0)


class Draws(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class Shared(nn.Module):
    """One state for all rows of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("level", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        self.level = 0.9 * self.get_buffer("level") + 0.1 * x.mean(0)
        return x - self.level


class Asks(nn.Module):
    """A Python condition asks which call it is, long after the second."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Any = None

    def forward(self, x: Tensor) -> Tensor:
        self.calls = (self.calls or 0) + (1 if x.sum() != 0 else 0)
        return x * (2 if self.calls > 2 else 1)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Grows(), "'1.past' grows with every call"),
        (Draws(), "since it draws random numbers"),
        (Shared(), r"'1' \(Shared\) gives other numbers where a row of the batch is alone"),
    ],
)
def test_what_is_no_state_of_a_stream_is_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(MalformedError, match=message) as refused:
        explicit(
            nn.Sequential(nn.Linear(3, 3), module), torch.randn(2, 3), axes={"input": {0: "batch"}}
        )
    assert "\n" not in str(refused.value)


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
