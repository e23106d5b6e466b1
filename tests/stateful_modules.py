"""A module with a state, and how a pure module is called beside it."""

from typing import Any

from torch import Tensor, nn

BATCH, TIME = {"x": {0: "batch"}}, {"x": {0: "batch", 1: "time"}}


class Tagger(nn.Module):
    """A layer without a state, as most people write it."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, 2, batch_first=True, **options)
        self.head = nn.Linear(4 * (1 + self.lstm.bidirectional), 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.lstm(x)[0])
        return y
