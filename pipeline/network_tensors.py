"""The contract of the built-in networks: names, types, shapes and axes of their tensors.

    (input, state) → (output, next_state)

or input → output, for a network that reads whole sequences in both directions. These names are
defined only here.
"""

from dataclasses import dataclass
from typing import Literal

from pipeline.cells import ENTRIES
from pipeline.config import Record, SeriesModel, TextModel
from pipeline.contract.tensors import Axis, Contract, HeldOutData, StatePair, TensorSpec

OPSETS = range(18, 24)
DEFAULT_OPSET = 18  # the oldest that torch.onnx writes, for old runtimes

INPUT, STATE, OUTPUT, NEXT_STATE = "input", "state", "output", "next_state"
BATCH, TIME = "batch", "time"
# Tensors of the graphs with the loop inside: text from a prompt, a forecast from a history.
PROMPT, UNIFORM, TEXT, LOG_PROB = "prompt", "uniform", "text", "log_prob"
TEMPERATURE, TOP_K, TOP_P = "temperature", "top_k", "top_p"
HISTORY, STEPS, NOISE, FORECAST, PATHS = "history", "steps", "noise", "forecast", "paths"
SAMPLES = "samples"

AXES = {BATCH: Axis(role="batch"), TIME: Axis(role="time")}
SAMPLE = HeldOutData()  # of the input

UNKNOWN_INDEX = 0  # logit and embedding row of all characters outside the vocabulary


@dataclass(frozen=True)
class Sampling:
    """Settings of the sampler; temperature 0 takes the likeliest, top-k 0 and top-p 1 are off."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


class NetworkTensors(Record):
    """The tensors of a model, and the names of its state's rows.

    A network of whole sequences has a state without rows, which no file contains.
    """

    input: TensorSpec
    state: TensorSpec
    output: TensorSpec
    next_state: TensorSpec
    state_rows: tuple[str, ...]

    @property
    def has_state(self) -> bool:
        """Whether the model has a state, so that a sequence may be read in pieces."""
        return bool(self.state_rows)

    @property
    def contract(self) -> Contract:
        """The tensors as a contract: one input, one output, and at most one pair of states."""
        states = ((STATE, NEXT_STATE),) if self.has_state else ()
        return Contract(self.inputs, self.outputs, states, batch=BATCH, time=TIME)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs in the order of the graph."""
        return (self.input, self.state) if self.has_state else (self.input,)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs in the order of the graph."""
        return (self.output, self.next_state) if self.has_state else (self.output,)


class Loop(Record):
    """A graph with the loop inside: its name, and its inputs and outputs in order."""

    name: Literal["generate", "forecast"]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def file(self) -> str:
        """The path of the graph in a bundle."""
        return f"onnx/{self.name}.onnx"


def state_rows(config: SeriesModel | TextModel) -> tuple[str, ...]:
    """Names of the rows of ``state``: ``h_0 … h_{L-1}``, then for an LSTM ``c_0 … c_{L-1}``.

    A bidirectional network has none, because its second direction begins at the end.
    """
    if config.bidirectional:
        return ()
    layers = range(config.num_layers)
    return tuple(f"{part}_{layer}" for part in ENTRIES[config.cell].parts for layer in layers)


def state_pairs(config: SeriesModel | TextModel) -> tuple[StatePair, ...]:
    """The one pair of states of a model; empty for a model of whole sequences."""
    rows = state_rows(config)
    pair = StatePair(input=STATE, output=NEXT_STATE, rows=rows, h_columns=config.h_size)
    return (pair,) if rows else ()


def network_tensors(config: SeriesModel | TextModel, vocabulary_size: int = 0) -> NetworkTensors:
    """The tensors of a model.

    ``vocabulary_size`` counts the known characters of a text model; its logits have one
    column more, for the unknown entry.
    """
    rows = state_rows(config)
    state_shape = (BATCH, len(rows), config.hidden_size)
    steps: int | str = TIME if config.readout == "each" else 1
    labels = config.bidirectional and config.readout == "each"  # nothing is left to forecast
    if isinstance(config, TextModel):
        input_type: Literal["float32", "int64"] = "int64"
        input_shape: tuple[int | str, ...] = (BATCH, TIME)
        input_meaning = "Unicode code points"
        output_shape = (BATCH, steps, vocabulary_size + 1)
        output_meaning = f"logits of {'each' if labels else 'the next'} character"
        output_meaning += "; column 0 is the unknown entry"
    else:
        input_type, input_shape = "float32", (BATCH, TIME, config.features)
        input_meaning = "values in raw units"
        output_shape = (BATCH, steps, config.targets)
        output_meaning = f"{'values for each step' if labels else 'the next values'} in raw units"
    state_meaning, next_meaning = "zeros start a stream", "feed it back as state to go on"
    if config.proj_size:
        state_meaning += f"; of the h rows the first {config.proj_size} columns are read"
        next_meaning += f"; the h rows are zero from column {config.proj_size} on"

    def float32(name: str, shape: tuple[int | str, ...], meaning: str) -> TensorSpec:
        return TensorSpec(name=name, type="float32", shape=shape, meaning=meaning)

    return NetworkTensors(
        input=TensorSpec(
            name=INPUT, type=input_type, shape=input_shape, meaning=input_meaning, sample=SAMPLE
        ),
        state=float32(STATE, state_shape, state_meaning),
        output=float32(OUTPUT, output_shape, output_meaning),
        next_state=float32(NEXT_STATE, state_shape, next_meaning),
        state_rows=rows,
    )


def loop(config: SeriesModel | TextModel) -> Loop | None:
    """The contract of the graph with the loop inside; None if outputs cannot be the next inputs."""
    if config.bidirectional or not config.forecasts_its_input:
        return None
    core = network_tensors(config)

    def spec(
        name: str, type: Literal["float32", "int64"], shape: tuple[int | str, ...], meaning: str
    ) -> TensorSpec:
        return TensorSpec(name=name, type=type, shape=shape, meaning=meaning)

    state = core.state
    next_state = core.next_state.model_copy(
        update={"meaning": "has read all that came out; feed it back as state to go on"}
    )
    if isinstance(config, TextModel):
        return Loop(
            name="generate",
            inputs=(
                spec(
                    PROMPT, "int64", (BATCH, TIME), "Unicode code points to go on from; any number"
                ),
                spec(
                    UNIFORM, "float32", (BATCH, STEPS), "a random number from 0 to 1 for each step"
                ),
                spec(TEMPERATURE, "float32", (), "divides the logits; 0 takes the likeliest"),
                spec(TOP_K, "int64", (), "draw from that many likeliest; 0 is off"),
                spec(TOP_P, "float32", (), "draw from the likeliest up to that share; 1 is off"),
                state,
            ),
            outputs=(
                spec(TEXT, "int64", (BATCH, STEPS), "Unicode code points"),
                spec(LOG_PROB, "float32", (BATCH, STEPS), "of each where it was drawn from"),
                next_state,
            ),
        )
    width = config.targets
    return Loop(
        name="forecast",
        inputs=(
            spec(HISTORY, "float32", (BATCH, TIME, width), "raw units; any number of steps"),
            spec(STEPS, "int64", (), "how far to forecast"),
            spec(
                NOISE, "float32", (BATCH, SAMPLES, STEPS), "standard normal numbers, or no samples"
            ),
            state,
        ),
        outputs=(
            spec(FORECAST, "float32", (BATCH, STEPS, width), "raw units, without noise"),
            spec(
                PATHS, "float32", (BATCH, SAMPLES, STEPS, width), "raw units, each with its noise"
            ),
            next_state,
        ),
    )
