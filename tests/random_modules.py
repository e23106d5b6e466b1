"""Modules with hidden state, of every kind that a stream keeps or refuses, to be drawn from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

SIZE = 3
AXES = {"x": {0: "batch", 1: "time"}}


class Layer(nn.Module):
    """A recurrent layer called without a state, or with zeros that forward makes."""

    def __init__(self, kind: str, layers: int, zeros: bool) -> None:
        super().__init__()
        options = {"proj_size": SIZE} if kind == "projected" else {}
        hidden = SIZE + 1 if kind == "projected" else SIZE
        make = {"gru": nn.GRU, "rnn": nn.RNN}.get(kind, nn.LSTM)
        self.layer = make(SIZE, hidden, layers, batch_first=True, **options)
        self.zeros = zeros

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        hx: Any = None
        if self.zeros:
            rows = layer.num_layers, x.size(0)
            hx = x.new_zeros(*rows, layer.proj_size or layer.hidden_size)
            hx = (hx, x.new_zeros(*rows, layer.hidden_size)) if layer.mode == "LSTM" else hx
        y: Tensor = layer(x, hx)[0]
        return y


class TimeFirst(nn.Module):
    """A recurrent layer that has time before batch, called without a state."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(SIZE, SIZE)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.transpose(0, 1))[0].transpose(0, 1)
        return y


class Cell(nn.Module):
    """A cell that is called step by step, first without a state."""

    def __init__(self, kind: type[nn.RNNCellBase]) -> None:
        super().__init__()
        self.cell = kind(SIZE, SIZE)  # type: ignore[call-arg]

    def forward(self, x: Tensor) -> Tensor:
        state, ys = None, []
        for step in x.unbind(1):
            state = self.cell(step, state)
            ys.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(ys, 1)


class Attribute(nn.Module):
    """The state of a layer in an attribute: None at first, zeros, a tuple, or in a dictionary."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.layer = (nn.LSTM if form == "tuple" else nn.GRU)(SIZE, SIZE, batch_first=True)
        zeros = torch.zeros(1, 1, SIZE)
        self.kept: Any = {"tuple": (zeros, zeros), "zeros": zeros, "dictionary": {}}.get(form)

    def forward(self, x: Tensor) -> Tensor:
        state = self.kept.get("h") if self.form == "dictionary" else self.kept
        y, state = self.layer(x, state)
        if self.form == "dictionary":
            self.kept["h"] = state.detach()
        else:
            self.kept = state
        return y  # type: ignore[no-any-return]


class Learned(nn.Module):
    """A state that begins with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(SIZE, SIZE, batch_first=True)
        self.first = nn.Parameter(torch.randn(1, 1, SIZE))
        self.h: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.h is None:
            self.h = self.first.expand(-1, x.size(0), -1).contiguous()
        y, self.h = self.layer(x, self.h)
        return y  # type: ignore[no-any-return]


class Average(nn.Module):
    """An exponential moving average of all steps, in a buffer that is changed in place or not."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((1, SIZE), 0.5))
        self.in_place = in_place

    def forward(self, x: Tensor) -> Tensor:
        ys = []
        mean = self.get_buffer("mean")
        for step in x.unbind(1):
            mean = 0.8 * mean + 0.2 * step
            ys.append(mean)
        if self.in_place:
            self.get_buffer("mean").copy_(mean)
        else:
            self.mean = mean.detach()
        return x - torch.stack(ys, 1)


class Causal(nn.Module):
    """A convolution that keeps the last steps of the sequence."""

    def __init__(self, width: int, in_place: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(SIZE, SIZE, width)
        self.register_buffer("past", torch.zeros(1, SIZE, width - 1))
        self.in_place = in_place

    def forward(self, x: Tensor) -> Tensor:
        past = self.get_buffer("past")
        full = torch.cat([past, x.transpose(1, 2)], 2)
        last = full[:, :, full.size(2) - past.size(2) :]
        if self.in_place:
            past[:] = last
        else:
            self.past = last
        y: Tensor = self.conv(full).transpose(1, 2)
        return y


class Counter(nn.Module):
    """The number of each step, counted in a buffer of integers or in a number of Python."""

    def __init__(self, in_python: bool) -> None:
        super().__init__()
        self.in_python, self.steps = in_python, 0
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        before = self.steps if self.in_python else self.get_buffer("count").clone()
        if self.in_python:
            self.steps = self.steps + x.size(1)
        else:
            self.get_buffer("count").add_(x.size(1))
        steps = torch.arange(x.size(1)) + before
        return x + 0.1 * (steps % 5).to(x.dtype)[:, None]


class Flag(nn.Module):
    """The bias is given to the first step that was ever seen, and to no other."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))
        self.bias = nn.Parameter(torch.randn(SIZE))

    def forward(self, x: Tensor) -> Tensor:
        first = (torch.arange(x.size(1)) == 0) & ~self.get_buffer("begun")
        self.begun = torch.ones((), dtype=torch.bool)
        return x + first[:, None] * self.bias


class Ahead(nn.Module):
    """A convolution that sees a step of the future."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(SIZE, SIZE, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x.transpose(1, 2)).transpose(1, 2)
        return y


class BothWays(nn.Module):
    """A bidirectional layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(SIZE, SIZE, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)[0]
        return y[..., :SIZE] + y[..., SIZE:]


class Attention(nn.Module):
    """Every step looks at every other."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.MultiheadAttention(SIZE, 1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.look(x, x, x, need_weights=False)[0]
        return y


class Centred(nn.Module):
    """The mean over all steps is taken off."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(1, keepdim=True)


@dataclass
class Kind:
    """How to make a block, and, where it cannot be streamed, the end of the name to be refused."""

    make: Callable[[], nn.Module]
    refused: str | None = None
    batch: int | None = None  # the only one that it runs at before it has seen anything


KINDS: dict[str, Kind] = {
    **{
        f"{kind} {layers} {zeros}": Kind(partial(Layer, kind, layers, zeros))
        for kind in ("rnn", "gru", "lstm", "projected")
        for layers in (1, 2)
        for zeros in (False, True)
    },
    "time first": Kind(TimeFirst),
    "LSTMCell": Kind(lambda: Cell(nn.LSTMCell)),
    "GRUCell": Kind(lambda: Cell(nn.GRUCell)),
    "none": Kind(lambda: Attribute("none")),
    "dictionary": Kind(lambda: Attribute("dictionary")),
    "tuple": Kind(lambda: Attribute("tuple"), batch=1),
    "zeros": Kind(lambda: Attribute("zeros"), batch=1),
    "learned": Kind(Learned),
    "average": Kind(lambda: Average(False)),
    "average in place": Kind(lambda: Average(True), batch=1),
    "causal": Kind(lambda: Causal(3, False), batch=1),
    "causal in place": Kind(lambda: Causal(2, True), batch=1),
    "counter": Kind(lambda: Counter(False)),
    "python counter": Kind(lambda: Counter(True)),
    "flag": Kind(Flag),
    "ahead": Kind(Ahead, "conv"),
    "both ways": Kind(BothWays, "layer"),
    "attention": Kind(Attention, "look"),
    "centred": Kind(Centred, ""),
}
STREAMED = sorted(name for name, kind in KINDS.items() if kind.refused is None)
REFUSED = sorted(name for name, kind in KINDS.items() if kind.refused is not None)
AROUND: dict[str, Callable[[], nn.Module]] = {
    "nothing": nn.Identity,
    "linear": lambda: nn.Linear(SIZE, SIZE),
    "norm": lambda: nn.Sequential(nn.Dropout(0.3), nn.LayerNorm(SIZE)),
    "tanh": nn.Tanh,
}


class Nested(nn.Module):
    """A block as a submodule of a submodule, beside its input or not."""

    def __init__(self, block: nn.Module, depth: int, residual: bool) -> None:
        super().__init__()
        self.inner = Nested(block, depth - 1, False) if depth else block
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return x + y if self.residual else y


class Model(nn.Module):
    """Blocks one after the other, and, if ``argument``, a layer whose state goes in and out."""

    def __init__(self, blocks: Sequence[nn.Module], argument: bool, last: bool) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.own = nn.GRU(SIZE, SIZE, batch_first=True) if argument else None
        self.last = last

    def forward(self, x: Tensor, state: Tensor | None = None) -> Any:
        y = self.blocks(x)
        if self.own is None:
            return y[:, -1] if self.last else y
        y, state = self.own(y, state)
        return (y[:, -1] if self.last else y), state
