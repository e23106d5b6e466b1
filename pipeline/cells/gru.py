"""The cell of ``torch.nn.GRU``: gates r (reset) and z (update), and a candidate n.

With r and z after their sigmoid, n = tanh(W·x + Wb + r·(R·h + Rb)) and h' = (1 - z)·n + z·h. By
itself ONNX scales h in place of R·h + Rb; ``linear_before_reset`` makes it do what PyTorch does.
"""

from collections.abc import Sequence

from pipeline.cells.entry import Entry, FixedPoint, Integers, Parts, Tensor


def _step(of_x: Tensor, of_h: Tensor, state: Parts, nonlinearity: str) -> Parts:
    (z_w, r_w, n_w), (z_r, r_r, n_r) = of_x.chunk(3, dim=1), of_h.chunk(3, dim=1)
    update, reset = (z_w + z_r).sigmoid(), (r_w + r_r).sigmoid()
    return ((1 - update) * (n_w + reset * n_r).tanh() + update * state[0],)


def _integer_step(
    of_x: Integers, of_h: Integers, state: Sequence[Integers], fixed: FixedPoint
) -> Sequence[Integers]:
    (r_w, z_w, n_w), (r_r, z_r, n_r) = fixed.split(of_x, 3), fixed.split(of_h, 3)
    reset, update = fixed.sigmoid(r_w + r_r), fixed.sigmoid(z_w + z_r)
    candidate = fixed.tanh(n_w + fixed.part(reset, n_r)) << (fixed.STATE_BITS - fixed.PART_BITS)
    return (candidate + fixed.part(update, state[0] - candidate),)


ENTRY = Entry(
    operator="GRU",
    gates="rzn",
    onnx_gates="zrn",
    c_gates="rzn",
    step=_step,
    integer_step=_integer_step,
    apart="n",
    attributes={"linear_before_reset": 1},
    c_gate="1.0f / ((e) + 2.0f)",
    presets={
        "sine": {"hidden_size": 64, "learning_rate": 1e-2, "epochs": 100},
        "char": {"learning_rate": 4e-3, "epochs": 3, "label_smoothing": 0.07},
    },
)
