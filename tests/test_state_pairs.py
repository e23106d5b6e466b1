"""Arguments and results that are one state: told, found by name, or found by trying."""

from typing import Any

import pytest
import torch
from stateful_modules import BATCH, TIME
from torch import Tensor, nn
from torch._higher_order_ops import scan

from pipeline.errors import MalformedError, UsageError
from pipeline.export.state import explicit


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
