"""The contract of every exported model: tensor names, axis names, types and shapes.

    (input, state) → (output, next_state)

These names are spelled here and nowhere else.
"""

from typing import Literal

from pipeline.config import Cell, Record, SeriesModel, TextModel

INPUT, STATE, OUTPUT, NEXT_STATE = "input", "state", "output", "next_state"
BATCH, TIME = "batch", "time"

# ONNX operator of each cell.
OPERATOR: dict[Cell, str] = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}

UNKNOWN_INDEX = 0  # logit and embedding row of every character outside the vocabulary


class Tolerance(Record):
    """A runtime may be off by ``atol + rtol·|y|``, or by four times PyTorch's own error."""

    rtol: float
    atol: float


FLOAT32 = Tolerance(rtol=1e-4, atol=1e-5)
# What a runtime may compute in. TF32 keeps as many bits of a number as float16: 10 and a sign.
Precision = Literal["float32", "tf32", "float16", "bfloat16"]
LESS_THAN_FLOAT32: dict[Precision, Tolerance] = {
    "tf32": Tolerance(rtol=1e-3, atol=2.5e-3),
    "float16": Tolerance(rtol=1e-3, atol=2.5e-3),
    "bfloat16": Tolerance(rtol=1e-2, atol=2e-2),
}
OWN_ERRORS = 4  # how many times PyTorch's own float32 error a runtime may be off
ILL_CONDITIONED = 1e-3  # PyTorch's own float32 error from which whole sequences say nothing


class TensorSpec(Record):
    """One tensor of the contract; a ``str`` in ``shape`` is a dynamic axis, from 1 up."""

    name: str
    type: Literal["float32", "int64"]
    shape: tuple[int | str, ...]
    meaning: str


class Signature(Record):
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
        input_type: Literal["float32", "int64"] = "int64"
        input_shape: tuple[int | str, ...] = (BATCH, TIME)
        input_meaning = "Unicode code points"
        output_shape = (BATCH, TIME, vocabulary_size + 1)
        output_meaning = "logits of the next character; column 0 is the unknown entry"
    else:
        input_type, input_shape = "float32", (BATCH, TIME, config.features)
        input_meaning = "values in raw units"
        output_shape = (BATCH, TIME, config.targets)
        output_meaning = "the next values in raw units"

    def float32(name: str, shape: tuple[int | str, ...], meaning: str) -> TensorSpec:
        return TensorSpec(name=name, type="float32", shape=shape, meaning=meaning)

    return Signature(
        input=TensorSpec(name=INPUT, type=input_type, shape=input_shape, meaning=input_meaning),
        state=float32(STATE, state_shape, "zeros start a stream"),
        output=float32(OUTPUT, output_shape, output_meaning),
        next_state=float32(NEXT_STATE, state_shape, "feed it back as state to go on"),
        state_rows=rows,
    )
