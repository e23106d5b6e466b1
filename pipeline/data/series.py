"""Series of numbers, split by time into training, validation and test part, and sine waves."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.config import SineSource
from pipeline.errors import MalformedError
from pipeline.storage import sha256

_STEP = 100 / 999  # spacing of linspace(0, 100, 1000)
_SHORTEST = 100
HELD_OUT = 1000  # the longest validation case


@dataclass(frozen=True)
class Series:
    """One series and its split.

    ``values`` is float32 ``[time, features]`` in raw units; training is ``values[:train_end]``,
    validation ``values[train_end:validation_end]``, test the rest. ``season`` is the period in
    steps (1: none). ``held_out`` is float32 ``[time, features]`` that training never saw.
    ``digest`` is the SHA-256 of ``values``.

    The first ``targets`` columns are forecast; the others are only read. ``columns`` are the names
    of all columns and ``horizon`` the steps to forecast, if the file or the user gave them;
    ``notes`` are lines for people about how the file was read.
    """

    values: NDArray[np.float32]
    season: int
    held_out: NDArray[np.float32]
    targets: int = 1
    columns: tuple[str, ...] = ()
    horizon: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the little-endian float32 values."""
        return sha256(self.values.astype("<f4").tobytes())

    @property
    def train_end(self) -> int:
        """60 % of the steps."""
        return training_steps(len(self.values))

    @property
    def validation_end(self) -> int:
        """80 % of the steps."""
        return steps_before_test(len(self.values))

    @property
    def train(self) -> NDArray[np.float32]:
        """The part that weights and scaler are fitted on."""
        return self.values[: self.train_end]

    @cached_property
    def scales(self) -> list[float]:
        """The mean absolute error of persistence in the training part, for each target."""
        columns = self.train[:, : self.targets].T.astype(np.float64)
        return [float(np.abs(np.diff(column)).mean()) for column in columns]


def training_steps(length: int) -> int:
    """The number of steps in the training part, out of ``length``."""
    return length * 6 // 10


def steps_before_test(length: int) -> int:
    """The number of steps in the training and the validation part, out of ``length``."""
    return length * 8 // 10


def check_length(length: int, where: str) -> None:
    """Raises MalformedError for a series that is too short to split."""
    if length < _SHORTEST:
        raise MalformedError(f"{where}: {length} values are too few; give at least {_SHORTEST}")


def _wave(source: SineSource, start: int, stop: int) -> NDArray[np.float64]:
    """Samples ``start`` to ``stop``, without noise."""
    x = np.linspace(start * _STEP, (stop - 1) * _STEP, stop - start)
    total: NDArray[np.float64] = np.sum([np.sin(f * x) for f in source.frequency], axis=0)
    return total


def sample_sine(source: SineSource) -> Series:
    """The series of a SineSource; ``held_out`` is the end of its test part and the wave after it.

    Raises:
        MalformedError: the waves cancel out to a constant, or the noise is beyond float32.
    """
    total = source.length + HELD_OUT
    noise = np.random.default_rng(source.noise_seed).normal(0.0, source.noise, total)
    clean = _wave(source, 0, source.length)
    with np.errstate(over="ignore"):
        values = (clean + noise[: source.length]).astype(np.float32)[:, None]
    if not np.isfinite(values).all():
        raise MalformedError("sine: --noise leaves what float32 can hold; give less")
    if np.ptp(values[: training_steps(len(values))]) == 0:
        raise MalformedError("sine: the training part is constant; there is nothing to learn")
    future = _wave(source, source.length, total) + noise[source.length :]
    period = 2 * math.pi / min(source.frequency) / _STEP  # the slowest wave, in steps
    series = Series(values, season=max(1, round(period)), held_out=values)
    if series.season > series.validation_end:
        series = Series(values, season=1, held_out=values)  # one season is longer than the data
    held_out = np.concatenate([values[series.validation_end :], future.astype(np.float32)[:, None]])
    return Series(values, series.season, held_out[-2 * HELD_OUT :])
