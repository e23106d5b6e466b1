"""The recurrent layers of our networks, swapped for ONNX's operators while they are exported."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pipeline.export.recurrent import OnnxLayers
from pipeline.model import Recurrent, pad_columns


class OnnxRecurrent(OnnxLayers):
    """Stands in for :class:`pipeline.model.Recurrent`."""

    def __init__(self, source: Recurrent) -> None:
        layers = source.layers
        super().__init__(layers, zeros_are_given=layers.bidirectional or layers.proj_size > 0)
        self.h_size = layers.proj_size or layers.hidden_size
        if self.projected:  # only one of the two is in a graph
            unused = "W_first" if layers.bidirectional else "W"
            for layer in range(self.num_layers):
                delattr(self, f"{unused}_{layer}")

    def forward(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """x ``[batch, time, input]``, rows ``[S, batch, hidden]``; the same two after it."""
        x = x.transpose(0, 1)
        if rows.size(0) == 0:
            y, _ = super().forward(x, [()] * self.num_layers)
            return y.transpose(0, 1), rows
        starts = rows.split(1) if rows.size(0) > 1 else (rows,)
        if self.projected:
            h, c = starts[: self.num_layers], starts[self.num_layers :]
            starts = (*(row[..., : self.h_size] for row in h), *c)
        of_layers = [starts[layer :: self.num_layers] for layer in range(self.num_layers)]
        y, ends = super().forward(x, of_layers)
        next_rows = [  # all h, all c
            pad_columns(part, self.hidden_size)
            for parts in zip(*ends, strict=True)
            for part in parts
        ]
        return y.transpose(0, 1), torch.cat(next_rows) if len(next_rows) > 1 else next_rows[0]


@contextmanager
def onnx_layers(network: nn.Module) -> Iterator[nn.Module]:
    """``network`` with its recurrent layers swapped for ONNX's operators, for a while."""
    originals = {
        name: child for name, child in network.named_modules() if isinstance(child, Recurrent)
    }
    try:
        for name, child in originals.items():
            network.set_submodule(name, OnnxRecurrent(child))
        yield network
    finally:
        for name, child in originals.items():
            network.set_submodule(name, child)
