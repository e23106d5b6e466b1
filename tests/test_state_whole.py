"""Modules that take whole sequences, and what is no state of a stream."""

from typing import Any

import pytest
import torch
from stateful_modules import BATCH, TIME, Tagger
from torch import Tensor, nn

from pipeline.errors import MalformedError
from pipeline.export.state import explicit


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
