"""What a training run is made of, its six presets, and how options override them."""

from collections.abc import Sequence
from itertools import product
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from pipeline.errors import UsageError, unknown

Cell = Literal["rnn", "lstm", "gru"]
Precision = Literal["auto", "float32", "bfloat16"]
Fill = Literal["previous", "linear"]
Nonlinearity = Literal["tanh", "relu"]
Readout = Literal["each", "last", "final"]

CELLS: tuple[Cell, ...] = get_args(Cell)
FILLS: tuple[Fill, ...] = get_args(Fill)


class Record(BaseModel):
    """A value that is checked when made, never changes, and refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SineSource(Record):
    """Samples of sine waves: ``sum_f sin(f·x) + noise``, ``x`` every 100/999 from 0.

    With 1000 samples ``x`` is ``linspace(0, 100, 1000)``.
    """

    kind: Literal["sine"] = "sine"
    length: int = Field(1000, ge=100, le=100_000_000)
    frequency: tuple[Annotated[float, Field(gt=0)], ...] = Field((1.0,), min_length=1)
    noise: float = Field(0.0, ge=0)
    noise_seed: int = Field(0, ge=0)


class SeriesSource(Record):
    """A table of numbers in a CSV or Parquet file: long, wide, or one bare column.

    Each option left out is found in the file. ``columns`` is what was found: the columns in the
    order of the network's features, the targets first.
    """

    kind: Literal["series"] = "series"
    file: str
    target: tuple[str, ...] = ()
    time: str | None = None
    id: str | None = None
    fill: Fill | None = None
    resample: str | None = None
    season: int | None = Field(None, ge=1)
    horizon: int | None = Field(None, ge=1)
    columns: tuple[str, ...] = ()


class TextSource(Record):
    """UTF-8 text files, joined in order; none stands for Python's own language reference."""

    kind: Literal["text"] = "text"
    files: tuple[str, ...] = ()
    lowercase: bool = False
    alphabet: str | None = Field(None, min_length=1)
    min_count: int = Field(1, ge=1)


class ImportedSource(Record):
    """A weights file of others; ``non_finite`` weights are refused unless they were allowed."""

    kind: Literal["imported"] = "imported"
    file: str
    sha256: str
    non_finite: bool = False


Source = Annotated[SineSource | SeriesSource | TextSource, Field(discriminator="kind")]
_SOURCE: TypeAdapter[SineSource | SeriesSource | TextSource] = TypeAdapter(Source)


class _Architecture(Record):
    """The recurrent layers, with the options of ``torch.nn``, and what the head reads of them.

    ``readout`` is ``each`` (every step), ``last`` (all directions at the last step) or ``final``
    (what each direction ends with: the last step of one, the first of the other).
    """

    cell: Cell
    hidden_size: int = Field(ge=1, le=65_536)
    num_layers: int = Field(1, ge=1, le=64)
    dropout: float = Field(0.0, ge=0, lt=1, description="between layers, as in torch.nn.LSTM")
    bidirectional: bool = Field(False, description="whole sequences, without a state to carry on")
    bias: bool = True
    nonlinearity: Nonlinearity = Field("tanh", description="of the cell rnn")
    proj_size: int = Field(0, ge=0, description="of the cell lstm: columns of its h; 0 keeps all")
    readout: Readout = "each"

    @model_validator(mode="after")
    def _options_fit(self) -> "_Architecture":
        if self.dropout > 0 and self.num_layers == 1:
            raise ValueError("--dropout acts between layers; it needs --num-layers 2 or more")
        if self.nonlinearity != "tanh" and self.cell != "rnn":
            raise ValueError(f"--nonlinearity is for the cell rnn; leave it out for {self.cell}")
        if self.proj_size and self.cell != "lstm":
            raise ValueError(f"--proj-size is for the cell lstm; leave it out for {self.cell}")
        if self.proj_size >= self.hidden_size:
            raise ValueError(
                f"--proj-size {self.proj_size} must be less than the hidden size, which is "
                f"{self.hidden_size}"
            )
        if self.readout != "each" and not self.bidirectional:
            raise ValueError(
                f"a network in one direction has an output for each step, not '{self.readout}'; "
                "leave readout out, or give --bidirectional"
            )
        return self

    @property
    def h_size(self) -> int:
        """Columns of one direction's h: fewer than ``hidden_size`` where it is projected."""
        return self.proj_size or self.hidden_size

    def __str__(self) -> str:
        """The layers in words: ``LSTM, 2 × 64 units, bidirectional``."""
        options = {
            "bidirectional": self.bidirectional,
            f"projected to {self.proj_size}": self.proj_size > 0,
            self.nonlinearity: self.nonlinearity != "tanh",
            "without bias": not self.bias,
        }
        parts = [self.cell.upper(), f"{self.num_layers} × {self.hidden_size} units"]
        return ", ".join([*parts, *(name for name, chosen in options.items() if chosen)])


class SeriesModel(_Architecture):
    """Scaler, recurrent layers, linear head, inverse scaler."""

    task: Literal["series"] = "series"
    features: int = Field(1, ge=1)
    targets: int = Field(1, ge=1)


class TextModel(_Architecture):
    """Code-point table, embedding, recurrent layers, linear head."""

    task: Literal["text"] = "text"
    embedding_size: int = Field(64, ge=1, le=65_536)


ModelConfig = Annotated[SeriesModel | TextModel, Field(discriminator="task")]


class TrainingConfig(Record):
    """How the weights are found."""

    epochs: int = Field(ge=1)
    minutes: float | None = Field(None, gt=0)
    learning_rate: float = Field(gt=0)
    batch_size: int = Field(ge=1)
    window: int = Field(ge=1, description="time steps that gradients flow back through")
    weight_decay: float = Field(0.01, ge=0)
    state_penalty: float = Field(
        0.0, ge=0, description="weight of the mean square of the state, which keeps it from growing"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="of the cross-entropy of a text")
    clip_norm: float = Field(1.0, gt=0)
    precision: Precision = "auto"
    threads: int | None = Field(None, ge=1, le=1024)
    seed: int = Field(0, ge=0, lt=2**31)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class Config(Record):
    """Everything that decides the weights of one model, apart from the machine."""

    name: Name
    source: Source
    model: ModelConfig
    training: TrainingConfig

    @model_validator(mode="after")
    def _parts_fit(self) -> "Config":
        is_text = self.model.task == "text"
        if is_text != isinstance(self.source, TextSource):
            raise ValueError(f"a {self.model.task} model cannot learn from '{self.source.kind}'")
        if self.training.label_smoothing and not is_text:
            raise ValueError("--label-smoothing means nothing for a series; leave it out")
        if self.model.bidirectional and self.model.readout == "each":
            raise ValueError(
                "a bidirectional network with an output for each step would see what it is to "
                "forecast; give readout 'final' or 'last'"
            )
        if self.model.bidirectional and self.training.state_penalty:
            raise ValueError(
                "--state-penalty means nothing for a bidirectional network, which carries no "
                "state; leave it out"
            )
        return self


class ImportedConfig(Record):
    """A network whose weights others have trained."""

    name: Name
    source: ImportedSource
    model: ModelConfig


def _sine(cell: Cell, hidden_size: int, learning_rate: float, epochs: int) -> Config:
    return Config(
        name=f"sine-{cell}",
        source=SineSource(),
        model=SeriesModel(cell=cell, hidden_size=hidden_size),
        training=TrainingConfig(
            epochs=epochs, learning_rate=learning_rate, batch_size=16, window=64, weight_decay=0.0
        ),
    )


def _char(
    cell: Cell,
    learning_rate: float,
    epochs: int,
    label_smoothing: float,
    state_penalty: float = 0.0,
) -> Config:
    return Config(
        name=f"char-{cell}",
        source=TextSource(),
        model=TextModel(cell=cell, hidden_size=128),
        # Decay, smoothing and penalty keep logits and cells small, and float32 errors with them.
        training=TrainingConfig(
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=16,
            window=64,
            weight_decay=0.1,
            state_penalty=state_penalty,
            label_smoothing=label_smoothing,
        ),
    )


PRESETS: dict[str, Config] = {
    preset.name: preset
    for preset in (
        _sine("rnn", 32, 5e-3, epochs=200),
        _sine("lstm", 64, 1e-2, epochs=200),
        _sine("gru", 64, 1e-2, epochs=100),
        _char("rnn", 4e-3, epochs=6, label_smoothing=0.1),
        _char("lstm", 5e-3, epochs=4, label_smoothing=0.05, state_penalty=0.01),
        _char("gru", 4e-3, epochs=3, label_smoothing=0.07),
    )
}


def preset_order(name: str) -> tuple[int, str]:
    """Sorting key: presets as they stand above, then all other names."""
    places = list(PRESETS)
    return (places.index(name) if name in PRESETS else len(places), name)


# What --bidirectional stands for, unless more is said.
WHOLE_SEQUENCES = {"bidirectional": True, "readout": "final", "state_penalty": 0.0}

FAMILIES = ("sine", "char")  # what --task takes: the first half of a preset's name


def select(names: tuple[str, ...], family: str | None, cell: str | None) -> list[Config]:
    """The presets that are meant: those named, or all of the family and of the cell.

    Raises:
        UsageError: a name, family or cell does not exist, or they contradict each other.
    """
    if family is not None and family not in FAMILIES:
        raise unknown("task", family, FAMILIES)
    if cell is not None and cell not in CELLS:
        raise unknown("cell", cell, CELLS)
    for name in names:
        if name not in PRESETS:
            raise unknown("preset", name, PRESETS)
    chosen = []
    for name in names or tuple(PRESETS):
        name_family, name_cell = name.split("-")
        if family in (None, name_family) and cell in (None, name_cell):
            chosen.append(PRESETS[name])
        elif names:
            right = f"{family or name_family}-{cell or name_cell}"
            raise UsageError(
                f"preset '{name}' contradicts --task or --cell; name '{right}' instead"
            )
    return chosen


def override(config: Config, options: dict[str, Any]) -> Config:
    """``config`` with every given option put where it belongs.

    ``options`` maps a field of the source, the model or the training, or ``name`` or a whole
    ``source``, to its new value.

    Raises:
        UsageError: the option means nothing for this task, or its value cannot be.
    """
    tree = config.model_dump()
    try:
        if "source" in options:
            tree["source"] = _SOURCE.validate_python(options["source"]).model_dump()
        for key, value in options.items():
            if key == "source":
                continue
            places = [tree, tree["source"], tree["model"], tree["training"]]
            place = next((place for place in places if key in place), None)
            if place is None:
                flag = "--" + key.replace("_", "-")
                raise UsageError(f"{flag} means nothing for '{config.name}'; leave it out")
            place[key] = value
        return Config.model_validate(tree)
    except ValidationError as error:
        raise UsageError(_one_line(error)) from error


def grid(
    presets: Sequence[Config],
    options: dict[str, Any],
    hidden_sizes: Sequence[int] = (),
    num_layers: Sequence[int] = (),
) -> list[Config]:
    """``presets`` with ``options``, in every size asked for; an empty sequence asks for none.

    Where there are several sizes they are part of the names, as in ``sine-lstm-100x2``; then, and
    where ``presets`` are several, the ``name`` among the options takes the place of ``sine``.

    Raises:
        UsageError: an option or a size cannot be, or two members have the same name.
    """
    sized = len(hidden_sizes) > 1 or len(num_layers) > 1
    rest = {key: value for key, value in options.items() if key != "name"}
    members: dict[str, Config] = {}
    for preset in presets:
        stem = preset.name
        if "name" in options:
            several = sized or len(presets) > 1
            stem = f"{options['name']}-{preset.model.cell}" if several else options["name"]
        for size, layers in product(hidden_sizes or (None,), num_layers or (None,)):
            sizes = {"hidden_size": size, "num_layers": layers}
            given = {key: value for key, value in sizes.items() if value is not None}
            config = override(preset, rest | given)
            shape = f"-{config.model.hidden_size}x{config.model.num_layers}" if sized else ""
            config = override(config, {"name": stem + shape})
            if members.setdefault(config.name, config) != config:
                raise UsageError("--name fits one task; name a preset, or give --task")
    return list(members.values())


def with_columns(config: Config, columns: tuple[str, ...], targets: int) -> Config:
    """``config`` for a file in which ``columns`` were found, the first ``targets`` of them
    to be forecast."""
    assert isinstance(config.source, SeriesSource)
    size = {"features": len(columns), "targets": targets}
    return config.model_copy(
        update={
            "source": config.source.model_copy(update={"columns": columns}),
            "model": config.model.model_copy(update=size),
        }
    )


def _one_line(error: ValidationError) -> str:
    """The first complaint, in the words of the command line."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    places = [part for part in first["loc"] if isinstance(part, str)]
    if first["type"] == "value_error":
        return message
    flag = places[-1].replace("_", "-")
    return f"--{flag} {first['input']!r}: {message[0].lower()}{message[1:]}"
