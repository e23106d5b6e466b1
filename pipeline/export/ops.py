"""ONNX's recurrent operators as PyTorch custom operators.

``torch.onnx.export`` keeps a custom operator whole and asks a table for its translation, so
each of these becomes exactly one ONNX node with dynamic batch and time. Tensors are in
ONNX's own layout 0 and gate order; the eager kernels follow the equations of the operator
specification (https://onnx.ai/onnx/operators/onnx__LSTM.html, and GRU and RNN beside it),
step by step, and so stand as a second opinion on the weight conversion.

D is 1, or 2 for a bidirectional node. What ONNX may leave out is ``None``: biases are then
zero, states start at zero, and every sequence is as long as ``x``.

    x  [time, batch, input]     w  [D, gates·hidden, input]     h, c  [D, batch, hidden]
    y  [time, D, batch, hidden] r  [D, gates·hidden, hidden]    b     [D, 2·gates·hidden]
    lengths  int32 [batch]
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from onnxscript import opset18
from torch import Tensor

# What one step makes of W·x + Wb, R·h + Rb and the state before it: the state after it.
_Step = Callable[[Tensor, Tensor, Sequence[Tensor]], Sequence[Tensor]]


def _run(
    step: _Step,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | None,
    starts: Sequence[Tensor | None],
) -> tuple[Tensor, ...]:
    """``(y, y_h)`` or ``(y, y_h, y_c)`` of one node, direction by direction, step by step."""
    time, batch = x.size(0), x.size(1)
    y = x.new_zeros(time, w.size(0), batch, r.size(2))
    biases = b if b is not None else x.new_zeros(w.size(0), 2 * w.size(1))
    ends = []
    for direction in range(w.size(0)):
        bias_w, bias_r = biases[direction].chunk(2)
        state: list[Tensor] = [
            x.new_zeros(batch, r.size(2)) if start is None else start[direction] for start in starts
        ]
        for t in reversed(range(time)) if direction else range(time):
            after = step(x[t] @ w[direction].T + bias_w, state[0] @ r[direction].T + bias_r, state)
            if lengths is None:
                state, y[t, direction] = list(after), after[0]
            else:  # a sequence that is over keeps its state, and one to be reversed awaits its end
                inside = (t < lengths)[:, None]
                state = [torch.where(inside, *pair) for pair in zip(after, state, strict=True)]
                y[t, direction] = state[0] * inside
        ends.append(state)
    return y, *(torch.stack(parts) for parts in zip(*ends, strict=True))


def _lstm_step(of_x: Tensor, of_h: Tensor, state: Sequence[Tensor]) -> Sequence[Tensor]:
    i, o, f, g = (of_x + of_h).chunk(4, dim=1)
    cell = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def _gru_step(of_x: Tensor, of_h: Tensor, state: Sequence[Tensor]) -> Sequence[Tensor]:
    (z_w, r_w, h_w), (z_r, r_r, h_r) = of_x.chunk(3, dim=1), of_h.chunk(3, dim=1)
    update, reset = torch.sigmoid(z_w + z_r), torch.sigmoid(r_w + r_r)
    return ((1 - update) * torch.tanh(h_w + reset * h_r) + update * state[0],)


@torch.library.custom_op("pipeline::onnx_rnn", mutates_args=())
def onnx_rnn(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | None,
    h: Tensor | None,
    hidden_size: int,
    activation: str,
) -> tuple[Tensor, Tensor]:
    """ONNX ``RNN`` with ``activation`` Tanh or Relu: ``(y, y_h)``."""
    function = {"Tanh": torch.tanh, "Relu": torch.relu}[activation]
    y, y_h = _run(lambda of_x, of_h, _: (function(of_x + of_h),), x, w, r, b, lengths, [h])
    return y, y_h


@torch.library.custom_op("pipeline::onnx_gru", mutates_args=())
def onnx_gru(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | None,
    h: Tensor | None,
    hidden_size: int,
) -> tuple[Tensor, Tensor]:
    """ONNX ``GRU`` with ``linear_before_reset=1``, gates z r h: ``(y, y_h)``."""
    y, y_h = _run(_gru_step, x, w, r, b, lengths, [h])
    return y, y_h


@torch.library.custom_op("pipeline::onnx_lstm", mutates_args=())
def onnx_lstm(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | None,
    h: Tensor | None,
    c: Tensor | None,
    hidden_size: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """ONNX ``LSTM`` without peepholes, gates i o f c: ``(y, y_h, y_c)``."""
    y, y_h, y_c = _run(_lstm_step, x, w, r, b, lengths, [h, c])
    return y, y_h, y_c


def _shapes(x: Tensor, w: Tensor, hidden_size: int, *states: Tensor | None) -> tuple[Tensor, ...]:
    directions, batch = w.size(0), x.size(1)
    return x.new_empty(x.size(0), directions, batch, hidden_size), *(
        x.new_empty(directions, batch, hidden_size) if state is None else torch.empty_like(state)
        for state in states
    )


@onnx_rnn.register_fake
def _(
    x: Any, w: Any, r: Any, b: Any, lengths: Any, h: Any, hidden_size: int, activation: str
) -> tuple[Tensor, ...]:
    return _shapes(x, w, hidden_size, h)


@onnx_gru.register_fake
def _(x: Any, w: Any, r: Any, b: Any, lengths: Any, h: Any, hidden_size: int) -> tuple[Tensor, ...]:
    return _shapes(x, w, hidden_size, h)


@onnx_lstm.register_fake
def _(
    x: Any, w: Any, r: Any, b: Any, lengths: Any, h: Any, c: Any, hidden_size: int
) -> tuple[Tensor, ...]:
    return _shapes(x, w, hidden_size, h, c)


# onnxscript traces these functions; what they are given and return are symbolic ONNX values.
def _direction(w: Any) -> Any:
    return {"direction": "bidirectional"} if w.shape[0] == 2 else {}


def _rnn_node(
    x: Any, w: Any, r: Any, b: Any, lengths: Any, h: Any, hidden_size: int, activation: str
) -> Any:
    activations = [activation] * w.shape[0]
    return opset18.RNN(
        x, w, r, b, lengths, h, hidden_size=hidden_size, activations=activations, **_direction(w)
    )


def _gru_node(x: Any, w: Any, r: Any, b: Any, lengths: Any, h: Any, hidden_size: int) -> Any:
    return opset18.GRU(
        x, w, r, b, lengths, h, hidden_size=hidden_size, linear_before_reset=1, **_direction(w)
    )


def _lstm_node(
    x: Any, w: Any, r: Any, b: Any, lengths: Any, h: Any, c: Any, hidden_size: int
) -> Any:
    return opset18.LSTM(x, w, r, b, lengths, h, c, hidden_size=hidden_size, **_direction(w))


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.pipeline.onnx_rnn.default: _rnn_node,
    torch.ops.pipeline.onnx_gru.default: _gru_node,
    torch.ops.pipeline.onnx_lstm.default: _lstm_node,
}
