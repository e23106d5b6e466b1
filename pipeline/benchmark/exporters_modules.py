"""A dozen small recurrent modules as users write them, for exporters to be tried on.

Every input has dynamic axes, ``batch`` and most often ``time``. Every state is both an argument
and a result of ``forward``.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from pipeline.benchmark.subject import Slot, Subject
from pipeline.network_tensors import BATCH, TIME

_IN, _HIDDEN, _PROJECTED, _CHARACTERS = 3, 8, 5, 11


class _OneState(nn.Module):
    """A layer whose state is one tensor."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y, h = self.layer(x, h)
        return y, h


class _TwoStates(nn.Module):
    """An LSTM with both parts of its state."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, (h, c) = self.layer(x, (h, c))
        return y, h, c


class _NoState(nn.Module):
    """A layer that starts every call at zero."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)[0]
        return y


class _Packed(nn.Module):
    """Sequences of several lengths in one batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(_IN, _HIDDEN, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, _ = self.layer(packed)
        return pad_packed_sequence(y, batch_first=True, total_length=x.size(1))[0]


class _PackedAttention(nn.Module):
    """Weights over the features of every step of packed sequences, between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.GRU(_IN, _HIDDEN, batch_first=True)
        self.gate, self.second = nn.Linear(_HIDDEN, _HIDDEN), nn.GRU(_HIDDEN, _HIDDEN)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        packed, _ = self.first(packed)
        weighed = torch.softmax(self.gate(packed.data), dim=1) * packed.data
        y, _ = self.second(packed._replace(data=weighed))
        return pad_packed_sequence(y, batch_first=True, total_length=x.size(1))[0]


class _SizesByLen(nn.Module):
    """A sequence without a batch, whose length the module takes by ``len``, as in tutorials."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.LSTM(_IN, _HIDDEN), nn.Linear(_HIDDEN, _IN)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.layer(x.view(len(x), 1, -1))
        found: Tensor = self.head(y.view(len(x), -1))
        return found


class _LanguageModel(nn.Module):
    """Characters to logits of the next ones."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_CHARACTERS, 6)
        self.layers = nn.LSTM(6, _HIDDEN, 2, batch_first=True, dropout=0.1)
        self.head = nn.Linear(_HIDDEN, _CHARACTERS)

    def forward(self, text: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, (h, c) = self.layers(self.embedding(text), (h, c))
        return self.head(y), h, c


class _CellLoop(nn.Module):
    """A cell in a Python loop over time."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(_IN, _HIDDEN)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        made = []
        for x_t in x.unbind(1):
            h, c = self.cell(x_t, (h, c))
            made.append(h)
        return torch.stack(made, 1), h, c


class _CellScan(nn.Module):
    """A cell in PyTorch's own loop over an axis."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(_IN, _HIDDEN)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        def step(h: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor]:
            h = self.cell(x_t, h)
            return h, h.clone()

        h, y = scan(step, h, x, dim=1)
        return y, h


class _BothDirections(nn.Module):
    """A bidirectional layer made by hand: the second one reads the sequence from its end."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = nn.GRU(_IN, _HIDDEN, batch_first=True)
        self.back = nn.GRU(_IN, _HIDDEN, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        back = self.back(x.flip(1))[0].flip(1)
        return torch.cat([self.ahead(x)[0], back], dim=2)


class _NormedGRU(nn.Module):
    """A GRU with layer normalisation of its gates, written out, in a Python loop over time."""

    def __init__(self) -> None:
        super().__init__()
        self.of_x, self.of_h = nn.Linear(_IN, 3 * _HIDDEN), nn.Linear(_HIDDEN, 3 * _HIDDEN)
        self.norm_x, self.norm_h = nn.LayerNorm(3 * _HIDDEN), nn.LayerNorm(3 * _HIDDEN)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        made = []
        for x_t in x.unbind(1):
            r_x, z_x, n_x = self.norm_x(self.of_x(x_t)).chunk(3, 1)
            r_h, z_h, n_h = self.norm_h(self.of_h(h)).chunk(3, 1)
            update = torch.sigmoid(z_x + z_h)
            new = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
            h = (1 - update) * new + update * h
            made.append(h)
        return torch.stack(made, 1), h


_X = Slot((BATCH, TIME, _IN))
_X_TIME_FIRST = Slot((TIME, BATCH, _IN))
_TEXT = Slot((BATCH, TIME), below=_CHARACTERS)
_LENGTHS = Slot((BATCH,), below=TIME, low=1)
_CELL_STATE = Slot((BATCH, _HIDDEN))


def _rows(layers: int, size: int = _HIDDEN) -> Slot:
    return Slot((layers, BATCH, size))


def _sequence(size: int = _HIDDEN) -> Slot:
    return Slot((BATCH, TIME, size))


def _layer(kind: Callable[..., nn.Module], *sizes: int, **options: Any) -> nn.Module:
    return kind(_IN, _HIDDEN, *sizes, batch_first=True, **options)


def _one(y: Slot, h: Slot) -> dict[str, Slot]:
    return {"y": y, "h_next": h}


def _two(y: Slot, h: Slot, c: Slot) -> dict[str, Slot]:
    return {"y": y, "h_next": h, "c_next": c}


MODULES = {
    "rnn": Subject(
        "nn.RNN, the state in and out",
        lambda: _OneState(_layer(nn.RNN)),
        {"x": _X, "h": _rows(1)},
        _one(_sequence(), _rows(1)),
    ),
    "lstm": Subject(
        "nn.LSTM, the state in and out",
        lambda: _TwoStates(_layer(nn.LSTM)),
        {"x": _X, "h": _rows(1), "c": _rows(1)},
        _two(_sequence(), _rows(1), _rows(1)),
    ),
    "gru": Subject(
        "nn.GRU, the state in and out",
        lambda: _OneState(_layer(nn.GRU)),
        {"x": _X, "h": _rows(1)},
        _one(_sequence(), _rows(1)),
    ),
    "rnn-no-state": Subject(
        "nn.RNN that is given no state",
        lambda: _NoState(_layer(nn.RNN)),
        {"x": _X},
        {"y": _sequence()},
    ),
    "gru-two-layers": Subject(
        "two-layer nn.GRU that is given no state",
        lambda: _NoState(_layer(nn.GRU, 2)),
        {"x": _X},
        {"y": _sequence()},
    ),
    "lstm-time-first": Subject(
        "nn.LSTM with batch_first=False",
        lambda: _TwoStates(nn.LSTM(_IN, _HIDDEN)),
        {"x": _X_TIME_FIRST, "h": _rows(1), "c": _rows(1)},
        _two(Slot((TIME, BATCH, _HIDDEN)), _rows(1), _rows(1)),
    ),
    "lstm-projected": Subject(
        "nn.LSTM with proj_size",
        lambda: _TwoStates(_layer(nn.LSTM, proj_size=_PROJECTED)),
        {"x": _X, "h": _rows(1, _PROJECTED), "c": _rows(1)},
        _two(_sequence(_PROJECTED), _rows(1, _PROJECTED), _rows(1)),
    ),
    "lstm-bidirectional": Subject(
        "nn.LSTM with bidirectional=True",
        lambda: _TwoStates(_layer(nn.LSTM, bidirectional=True)),
        {"x": _X, "h": _rows(2), "c": _rows(2)},
        _two(_sequence(2 * _HIDDEN), _rows(2), _rows(2)),
    ),
    "lstm-packed": Subject(
        "nn.LSTM over packed sequences, with their lengths",
        _Packed,
        {"x": _X, "lengths": _LENGTHS},
        {"y": _sequence()},
    ),
    "packed-attention": Subject(
        "softmax over the data of packed sequences, between two of nn.GRU",
        _PackedAttention,
        {"x": _X, "lengths": _LENGTHS},
        {"y": _sequence()},
    ),
    "sizes-by-len": Subject(
        "nn.LSTM over x.view(len(x), 1, -1)",
        _SizesByLen,
        {"x": Slot((TIME, _IN))},
        {"y": Slot((TIME, _IN))},
    ),
    "language-model": Subject(
        "nn.Embedding, two-layer nn.LSTM with dropout, nn.Linear",
        _LanguageModel,
        {"text": _TEXT, "h": _rows(2), "c": _rows(2)},
        _two(_sequence(_CHARACTERS), _rows(2), _rows(2)),
    ),
    "both-directions": Subject(
        "a bidirectional layer by hand: flip, and two of nn.GRU",
        _BothDirections,
        {"x": _X},
        {"y": _sequence(2 * _HIDDEN)},
    ),
    "cell-loop": Subject(
        "nn.LSTMCell in a Python loop over time",
        _CellLoop,
        {"x": _X, "h": _CELL_STATE, "c": _CELL_STATE},
        _two(_sequence(), _CELL_STATE, _CELL_STATE),
    ),
    "cell-scan": Subject(
        "nn.GRUCell in PyTorch's scan over time",
        _CellScan,
        {"x": _X, "h": _CELL_STATE},
        _one(_sequence(), _CELL_STATE),
    ),
    "normed-gru": Subject(
        "a GRU with nn.LayerNorm, by hand, in a Python loop over time",
        _NormedGRU,
        {"x": _X, "h": _CELL_STATE},
        _one(_sequence(), _CELL_STATE),
    ),
}
