"""ONNX's recurrent operators as PyTorch custom operators.

``torch.onnx.export`` keeps a custom operator whole and asks a table for its translation, so
each of these becomes exactly one ONNX node with dynamic batch and time. Tensors are in
ONNX's own layout 0 and gate order; the eager kernels follow the equations of the operator
specification (https://onnx.ai/onnx/operators/onnx__LSTM.html, and GRU and RNN beside it),
step by step, and so stand as a second opinion on the weight conversion.

    x  [time, batch, input]     w  [1, gates·hidden, input]     h, c  [1, batch, hidden]
    y  [time, 1, batch, hidden] r  [1, gates·hidden, hidden]    b     [1, 2·gates·hidden]
"""

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset18
from torch import Tensor


@torch.library.custom_op("pipeline::onnx_rnn", mutates_args=())
def onnx_rnn(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor, h: Tensor, hidden_size: int
) -> tuple[Tensor, Tensor]:
    """ONNX ``RNN`` with tanh: ``(y, y_h)``."""
    bias_w, bias_r = b[0].chunk(2)
    state, steps = h[0], []
    for x_t in x:
        state = torch.tanh(x_t @ w[0].T + state @ r[0].T + bias_w + bias_r)
        steps.append(state)
    return torch.stack(steps)[:, None].clone(), state[None].clone()


@torch.library.custom_op("pipeline::onnx_gru", mutates_args=())
def onnx_gru(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor, h: Tensor, hidden_size: int
) -> tuple[Tensor, Tensor]:
    """ONNX ``GRU`` with ``linear_before_reset=1``, gates z r h: ``(y, y_h)``."""
    bias_w, bias_r = b[0].chunk(2)
    state, steps = h[0], []
    for x_t in x:
        z_w, r_w, h_w = (x_t @ w[0].T + bias_w).chunk(3, dim=1)
        z_r, r_r, h_r = (state @ r[0].T + bias_r).chunk(3, dim=1)
        update, reset = torch.sigmoid(z_w + z_r), torch.sigmoid(r_w + r_r)
        candidate = torch.tanh(h_w + reset * h_r)
        state = (1 - update) * candidate + update * state
        steps.append(state)
    return torch.stack(steps)[:, None].clone(), state[None].clone()


@torch.library.custom_op("pipeline::onnx_lstm", mutates_args=())
def onnx_lstm(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor, h: Tensor, c: Tensor, hidden_size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """ONNX ``LSTM`` without peepholes, gates i o f c: ``(y, y_h, y_c)``."""
    bias_w, bias_r = b[0].chunk(2)
    state, cell, steps = h[0], c[0], []
    for x_t in x:
        gates = x_t @ w[0].T + state @ r[0].T + bias_w + bias_r
        i, o, f, g = gates.chunk(4, dim=1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        state = torch.sigmoid(o) * torch.tanh(cell)
        steps.append(state)
    return torch.stack(steps)[:, None].clone(), state[None].clone(), cell[None].clone()


@onnx_rnn.register_fake
@onnx_gru.register_fake
def _shapes(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor, h: Tensor, hidden_size: int
) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.size(0), 1, x.size(1), hidden_size), torch.empty_like(h)


@onnx_lstm.register_fake
def _lstm_shapes(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor, h: Tensor, c: Tensor, hidden_size: int
) -> tuple[Tensor, Tensor, Tensor]:
    y, y_h = _shapes(x, w, r, b, h, hidden_size)
    return y, y_h, torch.empty_like(c)


# onnxscript traces these functions; what they return are symbolic ONNX values.
def _rnn_node(x: Any, w: Any, r: Any, b: Any, h: Any, hidden_size: int) -> Any:
    return opset18.RNN(x, w, r, b, None, h, hidden_size=hidden_size, activations=["Tanh"])


def _gru_node(x: Any, w: Any, r: Any, b: Any, h: Any, hidden_size: int) -> Any:
    return opset18.GRU(x, w, r, b, None, h, hidden_size=hidden_size, linear_before_reset=1)


def _lstm_node(x: Any, w: Any, r: Any, b: Any, h: Any, c: Any, hidden_size: int) -> Any:
    return opset18.LSTM(x, w, r, b, None, h, c, hidden_size=hidden_size)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.pipeline.onnx_rnn.default: _rnn_node,
    torch.ops.pipeline.onnx_gru.default: _gru_node,
    torch.ops.pipeline.onnx_lstm.default: _lstm_node,
}
