"""The plain cell of ``torch.nn.RNN``: h' = tanh(W·x + Wb + R·h + Rb), or relu in place of tanh."""

from collections.abc import Sequence

from pipeline.cells.entry import Entry, FixedPoint, Integers, Parts, Tensor


def _step(of_x: Tensor, of_h: Tensor, state: Parts, nonlinearity: str) -> Parts:
    total = of_x + of_h
    return (total.relu() if nonlinearity == "relu" else total.tanh(),)


def _integer_step(
    of_x: Integers, of_h: Integers, state: Sequence[Integers], fixed: FixedPoint
) -> Sequence[Integers]:
    return (fixed.tanh(of_x + of_h) << (fixed.STATE_BITS - fixed.PART_BITS),)


ENTRY = Entry(
    operator="RNN",
    gates="n",
    onnx_gates="n",
    c_gates="n",
    step=_step,
    integer_step=_integer_step,
    options=("nonlinearity",),
    presets={
        "sine": {"hidden_size": 32, "learning_rate": 5e-3, "epochs": 200},
        "char": {"learning_rate": 4e-3, "epochs": 6, "label_smoothing": 0.1},
    },
)
