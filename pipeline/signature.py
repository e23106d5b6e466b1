"""The contract of every exported model: tensor names, axis names, types and shapes.

    (input, state) → (output, next_state)

These names are spelled here and nowhere else.
"""

from dataclasses import dataclass
from typing import Literal

from pipeline.config import Cell, SeriesModel, TextModel

INPUT, STATE, OUTPUT, NEXT_STATE = "input", "state", "output", "next_state"
BATCH, TIME = "batch", "time"

# ONNX operator of each cell.
OPERATOR: dict[Cell, str] = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}

UNKNOWN_INDEX = 0  # logit and embedding row of every character outside the vocabulary


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of the contract; a ``str`` in ``shape`` is a dynamic axis, from 1 up."""

    name: str
    type: Literal["float32", "int64"]
    shape: tuple[int | str, ...]
    meaning: str


@dataclass(frozen=True)
class Signature:
    """The four tensors of a model, and what the rows of its state hold."""

    input: TensorSpec
    state: TensorSpec
    output: TensorSpec
    next_state: TensorSpec
    state_rows: tuple[str, ...]

    @property
    def inputs(self) -> tuple[TensorSpec, TensorSpec]:
        """What goes in, in the order of the graph."""
        return self.input, self.state

    @property
    def outputs(self) -> tuple[TensorSpec, TensorSpec]:
        """What comes out, in the order of the graph."""
        return self.output, self.next_state


def state_rows(cell: Cell, num_layers: int) -> tuple[str, ...]:
    """Names of the rows of ``state``: ``h_0 … h_{L-1}``, and for an LSTM then ``c_0 … c_{L-1}``."""
    parts = ("h", "c") if cell == "lstm" else ("h",)
    return tuple(f"{part}_{layer}" for part in parts for layer in range(num_layers))


def signature(config: SeriesModel | TextModel, vocabulary_size: int = 0) -> Signature:
    """The signature of a model.

    ``vocabulary_size`` counts the known characters of a text model; its logits have one
    column more, for the unknown entry.
    """
    rows = state_rows(config.cell, config.num_layers)
    state_shape = (BATCH, len(rows), config.hidden_size)
    if isinstance(config, TextModel):
        source = TensorSpec(INPUT, "int64", (BATCH, TIME), "Unicode code points")
        target = TensorSpec(
            OUTPUT,
            "float32",
            (BATCH, TIME, vocabulary_size + 1),
            "logits of the next character; column 0 is the unknown entry",
        )
    else:
        source = TensorSpec(INPUT, "float32", (BATCH, TIME, config.features), "values, raw units")
        target = TensorSpec(
            OUTPUT, "float32", (BATCH, TIME, config.targets), "the next values, raw units"
        )
    return Signature(
        input=source,
        state=TensorSpec(STATE, "float32", state_shape, "zeros start a stream"),
        output=target,
        next_state=TensorSpec(NEXT_STATE, "float32", state_shape, "feed back as state to go on"),
        state_rows=rows,
    )
