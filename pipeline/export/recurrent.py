"""Swap PyTorch's recurrent layers for modules made of ONNX's own operators."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pipeline.export import ops
from pipeline.model import Recurrent

# Where ONNX's gate number k stands among PyTorch's: ONNX has i o f c (LSTM) and z r h (GRU),
# PyTorch i f g o and r z n.
GATE_ORDER: dict[str, tuple[int, ...]] = {
    "RNN_TANH": (0,),
    "LSTM": (0, 3, 1, 2),
    "GRU": (1, 0, 2),
}

_OPERATOR = {"RNN_TANH": ops.onnx_rnn, "LSTM": ops.onnx_lstm, "GRU": ops.onnx_gru}


def onnx_gates(weight: Tensor, mode: str) -> Tensor:
    """Reorder the gate blocks on axis 0 of a PyTorch weight or bias as ONNX wants them."""
    order = GATE_ORDER[mode]
    blocks = weight.chunk(len(order))
    return torch.cat([blocks[gate] for gate in order])


class OnnxRecurrent(nn.Module):
    """Stands in for :class:`pipeline.model.Recurrent`, one ONNX operator per layer."""

    def __init__(self, source: Recurrent) -> None:
        super().__init__()
        self.mode = source.layers.mode
        self.hidden_size = source.layers.hidden_size
        self.num_layers = source.layers.num_layers
        for layer in range(self.num_layers):
            w, r, b_w, b_r = (
                onnx_gates(getattr(source.layers, f"{kind}_l{layer}").detach(), self.mode)
                for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            self.register_buffer(f"W_{layer}", w[None].contiguous())
            self.register_buffer(f"R_{layer}", r[None].contiguous())
            self.register_buffer(f"B_{layer}", torch.cat([b_w, b_r])[None].contiguous())

    def forward(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """x ``[batch, time, input]``, rows ``[S, batch, hidden]``; the same two after it."""
        starts = rows.split(1) if rows.size(0) > 1 else (rows,)
        ends: list[list[Tensor]] = []  # of every layer: [h] or [h, c]
        x = x.transpose(0, 1)
        for layer in range(self.num_layers):
            weights = [getattr(self, f"{kind}_{layer}") for kind in "WRB"]
            start = starts[layer :: self.num_layers]  # (h,) or (h, c) of this layer
            y, *end = _OPERATOR[self.mode](x, *weights, *start, self.hidden_size)
            x = y.squeeze(1)
            ends.append(end)
        next_rows = [part for parts in zip(*ends, strict=True) for part in parts]  # all h, all c
        return x.transpose(0, 1), torch.cat(next_rows) if len(next_rows) > 1 else next_rows[0]


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
