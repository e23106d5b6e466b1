"""ONNX's recurrent operators as PyTorch custom operators, one for each cell.

``torch.onnx.export`` keeps a custom operator whole and asks a table for its translation, so
each of these becomes exactly one ONNX node with dynamic batch and time. Tensors are in
ONNX's own layout 0 and gate order; the eager kernels follow the equations of the operator
specification (https://onnx.ai/onnx/operators, under their names), step by step, and so stand as a
second opinion on the weight conversion.

D is 1, or 2 for a bidirectional node. What ONNX may leave out is ``None``: biases are then
zero, states start at zero, and every sequence is as long as ``x``.

    x  [time, batch, input]     w  [D, gates·hidden, input]     h, c  [D, batch, hidden]
    y  [time, D, batch, hidden] r  [D, gates·hidden, hidden]    b     [D, 2·gates·hidden]
    lengths  int32 [batch]

A cell whose state has one part takes no c. ``nonlinearity`` is tanh or relu.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from onnxscript import opset18
from torch import Tensor

from pipeline.cells import ENTRIES
from pipeline.cells.entry import Entry


def _compute(
    cell: Entry,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | None,
    nonlinearity: str,
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
            of_x = x[t] @ w[direction].T + bias_w
            of_h = state[0] @ r[direction].T + bias_r
            after = cell.step(of_x, of_h, state, nonlinearity)
            if lengths is None:
                state, y[t, direction] = list(after), after[0]
            else:  # a sequence that is over keeps its state, and one to be reversed awaits its end
                inside = (t < lengths)[:, None]
                state = [torch.where(inside, *pair) for pair in zip(after, state, strict=True)]
                y[t, direction] = state[0] * inside
        ends.append(state)
    return y, *(torch.stack(parts) for parts in zip(*ends, strict=True))


def _define(name: str, cell: Entry) -> Callable[..., tuple[Tensor, ...]]:
    """The operator ``pipeline::<name>``, computed as ``cell`` says."""
    state_in = "".join(f", Tensor? {part}" for part in cell.parts)
    state_out = ", Tensor" * len(cell.parts)
    schema = (
        "(Tensor x, Tensor w, Tensor r, Tensor? b, Tensor? lengths, int hidden_size, "
        f"str nonlinearity{state_in}) -> (Tensor{state_out})"
    )

    def compute(*given: Any) -> tuple[Tensor, ...]:
        x, w, r, b, lengths, _, nonlinearity, *starts = given
        return _compute(cell, x, w, r, b, lengths, nonlinearity, starts)

    def shapes(*given: Any) -> tuple[Tensor, ...]:
        x, w, _, _, _, hidden_size, _, *starts = given
        end = w.size(0), x.size(1), hidden_size
        return x.new_empty(x.size(0), *end), *(
            x.new_empty(end) if start is None else torch.empty_like(start) for start in starts
        )

    operator = torch.library.custom_op(f"pipeline::{name}", compute, mutates_args=(), schema=schema)
    operator.register_fake(shapes)
    return operator


def _translation(cell: Entry) -> Callable[..., Any]:
    """The one node of ONNX that the operator of ``cell`` becomes.

    onnxscript traces it: what it is given and returns are symbolic values of ONNX. It looks at the
    types of the parameters, too: numbers and words are attributes.
    """

    def node(
        x: Any,
        w: Any,
        r: Any,
        b: Any,
        lengths: Any,
        hidden_size: int,
        nonlinearity: str,
        h: Any,
        c: Any = None,
    ) -> Any:
        directions = w.shape[0]
        attributes: dict[str, Any] = {"hidden_size": hidden_size, **cell.attributes}
        if cell.has_nonlinearity:
            attributes["activations"] = [nonlinearity.capitalize()] * directions
        if directions == 2:
            attributes["direction"] = "bidirectional"
        starts = (h, c)[: len(cell.parts)]
        return getattr(opset18, cell.operator)(x, w, r, b, lengths, *starts, **attributes)

    return node


_NAMES = {f"onnx_{cell}": entry for cell, entry in ENTRIES.items()}
OPERATOR = {name: entry.operator for name, entry in _NAMES.items()}
"""The operator of ONNX that each of ours becomes, by the name of ours."""
NODES = {entry.operator: _define(name, entry) for name, entry in _NAMES.items()}
"""Our operators by ONNX's names.

``(x, w, r, b, lengths, hidden_size, nonlinearity, h)`` or ``(…, h, c)`` to ``(y, y_h)`` or
``(y, y_h, y_c)``.
"""
TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    getattr(torch.ops.pipeline, name).default: _translation(entry) for name, entry in _NAMES.items()
}
