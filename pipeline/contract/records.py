"""Records that checkpoints and bundles share: the scaler, the training, and the scores."""

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializerFunctionWrapHandler, StringConstraints, model_serializer

from pipeline.config import Digest, Line, Record
from pipeline.errors import MalformedError

_LARGEST = float(np.finfo(np.float32).max)
_SMALLEST = float(np.finfo(np.float32).smallest_subnormal)

Number = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST)]  # within the range of float32
PositiveNumber = Annotated[float, Field(ge=_SMALLEST, le=_LARGEST)]
Spread = Annotated[float, Field(ge=0, le=_LARGEST)]  # 0 for a series that is forecast exactly

Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+_-]{0,59}$")]
Versions = dict[Word, Version]


class Scaler(Record):
    """Mean and standard deviation of every feature and target, in raw units."""

    input_mean: tuple[Number, ...]
    input_std: tuple[PositiveNumber, ...]
    output_mean: tuple[Number, ...]
    output_std: tuple[PositiveNumber, ...]

    @classmethod
    def fit(cls, values: NDArray[np.float32]) -> "Scaler":
        """The scaler of a series that forecasts itself; ``values`` is ``[time, features]``.

        Raises:
            MalformedError: float32 cannot hold the mean or the deviation of a column.
        """
        mean = tuple(map(float, values.mean(axis=0, dtype=np.float64).astype(np.float32)))
        std = tuple(map(float, values.std(axis=0, dtype=np.float64).astype(np.float32)))
        if not min(std) > 0 or not np.isfinite([mean, std]).all():
            raise MalformedError(
                "float32 cannot hold the mean or the deviation of a column; give it in other units"
            )
        return cls(input_mean=mean, input_std=std, output_mean=mean, output_std=std)


class Errors(Record):
    """MAE and RMSE in raw units, and MASE: the MAE divided by that of persistence in training.

    R. J. Hyndman and A. B. Koehler, Another look at measures of forecast accuracy,
    International Journal of Forecasting 22 (2006).
    """

    mae: float
    rmse: float
    mase: float


QUANTILES = (0.1, 0.5, 0.9)
"""Quantiles of samples that stand beside a forecast."""


class Coverage(Record):
    """Shares of the test part between the 10 % and the 90 % quantiles of samples; 0.8 is right.

    ``one_step`` is of single steps and ``free_run`` of free runs, which is None if there are none.
    """

    one_step: float = Field(ge=0, le=1)
    free_run: float | None = Field(ge=0, le=1)


class Baseline(Record):
    """Errors of a statistical model on the test part, fitted to ``fitted_steps`` steps before."""

    name: Line
    fitted_steps: int = Field(ge=1)
    one_step: Errors
    free_run: Errors


class SeriesScores(Record):
    """Errors on the test part, of the network, of persistence and of the seasonal-naive forecast.

    With several targets, MAE and MASE are means over the targets; RMSE is over all their values.
    ``free_run`` is None if the network also reads columns that it does not forecast.
    ``residual_std`` is the standard deviation of the one-step errors in the validation part, for
    each target. ``coverage`` is None and ``baselines`` are empty where nobody measured them, and
    then they are not written, as by earlier versions.
    """

    one_step: Errors
    one_step_persistence: Errors
    one_step_seasonal: Errors
    free_run: Errors | None
    free_run_persistence: Errors
    free_run_seasonal: Errors
    free_run_steps: int
    residual_std: tuple[Spread, ...]
    coverage: Coverage | None = None
    baselines: tuple[Baseline, ...] = ()

    @model_serializer(mode="wrap")
    def _without_what_is_unknown(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = write(self)
        unknown = ("coverage", "baselines")
        return {key: value for key, value in content.items() if value or key not in unknown}


class TextScores(Record):
    """Losses on the validation part; ``ngram_bits[n]`` is the loss in bits per character of the
    n-gram model with n characters of context."""

    loss: float
    bits_per_character: float
    accuracy: float
    ngram_bits: tuple[float, ...]


class TrainingRecord(Record):
    """How the weights were trained, and their scores."""

    data_sha256: Digest
    seed: int = Field(ge=0, lt=2**31)
    epochs: int = Field(ge=0)
    best_epoch: int = Field(ge=0)
    precision: Literal["float32", "bfloat16"]
    threads: int = Field(ge=1)
    device: Word
    history: tuple[dict[Word, float], ...]
    scores: SeriesScores | TextScores

    @property
    def spread(self) -> tuple[float, ...] | None:
        """The standard deviation of the one-step residuals of each target; None for text."""
        return self.scores.residual_std if isinstance(self.scores, SeriesScores) else None
