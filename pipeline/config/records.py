"""What a model and a training run are made of; every value is checked when it is made."""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.cells import ENTRIES, OPTIONS, Cell, Nonlinearity, with_option

TrainingPrecision = Literal["auto", "float32", "bfloat16"]
Fill = Literal["previous", "linear"]
Readout = Literal["each", "last", "final"]

FILLS: tuple[Fill, ...] = get_args(Fill)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]  # SHA-256
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,200}$")]  # of words to be shown


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
    sha256: Digest
    non_finite: bool = False


Source = Annotated[SineSource | SeriesSource | TextSource, Field(discriminator="kind")]


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
    nonlinearity: Nonlinearity = Field(
        "tanh", description=f"of the cell {with_option('nonlinearity')}"
    )
    proj_size: int = Field(
        0,
        ge=0,
        description=f"of the cell {with_option('proj_size')}: columns of its h; 0 keeps all",
    )
    readout: Readout = "each"

    @model_validator(mode="after")
    def _options_fit(self) -> "_Architecture":
        if self.dropout > 0 and self.num_layers == 1:
            raise ValueError("--dropout acts between layers; it needs --num-layers 2 or more")
        for option in OPTIONS:
            given = getattr(self, option) != type(self).model_fields[option].default
            if given and option not in ENTRIES[self.cell].options:
                raise ValueError(
                    f"--{option.replace('_', '-')} is for the cell {with_option(option)}; leave it "
                    f"out for {self.cell}"
                )
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

    @property
    def forecasts_its_input(self) -> bool:
        """Whether what comes out has all columns that go in."""
        return self.features == self.targets


class TextModel(_Architecture):
    """Code-point table, embedding, recurrent layers, linear head."""

    task: Literal["text"] = "text"
    embedding_size: int = Field(64, ge=1, le=65_536)

    @property
    def forecasts_its_input(self) -> bool:
        """A text is always continued by what a text is made of."""
        return True


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
    precision: TrainingPrecision = "auto"
    threads: int | None = Field(None, ge=1, le=1024)
    seed: int = Field(0, ge=0, lt=2**31)


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
