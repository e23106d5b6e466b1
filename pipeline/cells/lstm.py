"""The cell of ``torch.nn.LSTM``: gates i, f and o, a candidate g, and c beside h in the state.

With i, f and o after their sigmoid, c' = f·c + i·tanh(g) and h' = o·tanh(c').
"""

from collections.abc import Sequence

from pipeline.cells.entry import Entry, FixedPoint, Integers, Parts, Tensor


def _step(of_x: Tensor, of_h: Tensor, state: Parts, nonlinearity: str) -> Parts:
    i, o, f, g = (of_x + of_h).chunk(4, dim=1)
    c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _integer_step(
    of_x: Integers, of_h: Integers, state: Sequence[Integers], fixed: FixedPoint
) -> Sequence[Integers]:
    i, f, o, g = fixed.split(of_x + of_h, 4)
    added = fixed.rounded(fixed.sigmoid(i) * fixed.tanh(g), 2 * fixed.PART_BITS - fixed.STATE_BITS)
    c = fixed.part(fixed.sigmoid(f), state[1]) + added
    c = c.clip(-fixed.STATE_LIMIT, fixed.STATE_LIMIT)
    squashed = fixed.tanh(fixed.rounded(c, fixed.STATE_BITS - fixed.OUTPUT_BITS))
    return fixed.rounded(fixed.sigmoid(o) * squashed, 2 * fixed.PART_BITS - fixed.STATE_BITS), c


ENTRY = Entry(
    operator="LSTM",
    gates="ifgo",
    onnx_gates="iofg",
    c_gates="ifog",
    step=_step,
    integer_step=_integer_step,
    parts=("h", "c"),
    options=("proj_size",),
    # Divisions are slow, so what two gates scale is divided once, by the product of both inverses.
    c_gate="(e) + 2.0f",
    presets={
        "sine": {"hidden_size": 64, "learning_rate": 1e-2, "epochs": 200},
        "char": {
            "learning_rate": 5e-3,
            "epochs": 4,
            "label_smoothing": 0.05,
            "state_penalty": 0.01,
        },
    },
)
