"""Modules that several tests export."""

from torch import Tensor, nn

BATCH_TIME = {"x": {0: "batch", 1: "time"}}


class Plain(nn.Module):
    """A recurrent layer and a head, as most people write it."""

    def __init__(self, layers: nn.RNNBase, width: int) -> None:
        super().__init__()
        self.layers = layers
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.layers.flatten_parameters()
        assert isinstance(self.layers, nn.RNNBase)  # during the export too
        y: Tensor = self.head(self.layers(x)[0])
        return y


class Refuses(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while x.sum() > 0:
            x = x - 1
        return x
