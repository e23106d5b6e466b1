"""The classes that tutorials teach, whose weights people bring along."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

LAYERS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Forecaster(nn.Module):
    """SimpleRNN, SimpleLSTM and SimpleGRU: what comes after a window."""

    def __init__(self, cell: str, features: int, hidden: int, layers: int, outputs: int) -> None:
        super().__init__()
        self.cell = cell
        self.add_module(cell, LAYERS[cell](features, hidden, layers, batch_first=True))
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.get_submodule(self.cell)(x)
        y: Tensor = self.fc(out[:, -1, :])
        return y


class CharRNN(nn.Module):
    """The next letter after one-hot letters, and the state to go on with."""

    def __init__(self, cell: str, letters: int, hidden: int, layers: int = 1) -> None:
        super().__init__()
        self.letters = letters
        self.recurrent = LAYERS[cell](letters, hidden, layers, batch_first=True)
        self.decoder = nn.Linear(hidden, letters)

    def forward(self, indices: Tensor) -> Tensor:
        one_hot = nn.functional.one_hot(indices, self.letters).float()
        scores: Tensor = self.decoder(self.recurrent(one_hot)[0])
        return scores


class Embedded(nn.Module):
    """The next character after characters that an embedding reads."""

    def __init__(self, cell: str, characters: int, width: int, hidden: int, **options: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(characters, width)
        self.layers = LAYERS[cell](width, hidden, batch_first=True, **options)
        last = options.get("proj_size") or hidden
        self.out = nn.Linear(last, characters)

    def forward(self, indices: Tensor) -> Tensor:
        scores: Tensor = self.out(self.layers(self.embed(indices))[0])
        return scores


class BothWays(nn.Module):
    """A bidirectional forecaster; ``readout`` is what its head reads."""

    def __init__(self, cell: str, readout: str) -> None:
        super().__init__()
        self.layers = LAYERS[cell](2, 5, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 3)
        self.readout = readout

    def forward(self, x: Tensor) -> Tensor:
        read, state = self.layers(x)
        if self.readout == "last":
            read = read[:, -1:, :]
        elif self.readout != "each":
            h = state[0] if isinstance(state, tuple) else state
            read = torch.cat([h[-2], h[-1]], dim=1)[:, None]
        y: Tensor = self.head(read)
        return y
