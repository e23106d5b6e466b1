"""Series of numbers, split by time into training, validation and test part."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.config import SeriesSource, SineSource
from pipeline.errors import MalformedError
from pipeline.storage import read_file, sha256

_STEP = 100 / 999  # spacing of linspace(0, 100, 1000)
_HELD_OUT = 1000  # the longest validation case


@dataclass(frozen=True)
class Series:
    """One series and its split.

    ``values`` is float32 ``[time, features]`` in raw units; training is ``values[:train_end]``,
    validation ``values[train_end:validation_end]``, test the rest. ``season`` is the period in
    steps (1: none). ``held_out`` is float32 ``[time, features]`` that training never saw.
    ``digest`` is the SHA-256 of ``values``.
    """

    values: NDArray[np.float32]
    season: int
    held_out: NDArray[np.float32]

    @property
    def digest(self) -> str:
        """SHA-256 of the little-endian float32 values."""
        return sha256(self.values.astype("<f4").tobytes())

    @property
    def train_end(self) -> int:
        """60 % of the steps."""
        return len(self.values) * 6 // 10

    @property
    def validation_end(self) -> int:
        """80 % of the steps."""
        return len(self.values) * 8 // 10

    @property
    def train(self) -> NDArray[np.float32]:
        """The part that weights and scaler are fitted on."""
        return self.values[: self.train_end]


def _checked(values: NDArray[np.float64], where: str) -> NDArray[np.float32]:
    """``values`` as float32 ``[time, 1]``; refuses what cannot be scaled or learned from."""
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(rounded))
    if bad.size:
        raise MalformedError(
            f"{where}: value {bad[0] + 1} is {values[bad[0]]}; fill or remove what is not finite"
        )
    if len(values) < 100:
        raise MalformedError(f"{where}: {len(values)} values are too few; give at least 100")
    if np.ptp(rounded[: len(values) * 6 // 10]) == 0:
        raise MalformedError(f"{where}: the training part is constant; there is nothing to learn")
    return rounded[:, None]


def _wave(source: SineSource, start: int, stop: int) -> NDArray[np.float64]:
    """Samples ``start`` to ``stop``, without noise."""
    x = np.linspace(start * _STEP, (stop - 1) * _STEP, stop - start)
    total: NDArray[np.float64] = np.sum([np.sin(f * x) for f in source.frequency], axis=0)
    return total


def sample_sine(source: SineSource) -> Series:
    """The series of a SineSource; ``held_out`` is its test part and how it would go on.

    Raises:
        MalformedError: the waves cancel out to a constant.
    """
    total = source.length + _HELD_OUT
    noise = np.random.default_rng(source.noise_seed).normal(0.0, source.noise, total)
    values = _checked(_wave(source, 0, source.length) + noise[: source.length], "sine")
    future = _wave(source, source.length, total) + noise[source.length :]
    period = 2 * math.pi / min(source.frequency) / _STEP  # the slowest wave, in steps
    series = Series(values, season=max(1, round(period)), held_out=values)
    if series.season > series.validation_end:
        series = Series(values, season=1, held_out=values)  # too slow for one season to be seen
    held_out = np.concatenate([values[series.validation_end :], future.astype(np.float32)[:, None]])
    return Series(values, series.season, held_out)


def read_series(source: SeriesSource) -> Series:
    """The numbers of a text file with one column; a first row that is not a number is its name.

    Raises:
        MalformedError: a cell is not a finite number (its row is named), or there are too few.
        StorageError: the file cannot be read.
    """
    path = Path(source.file)
    try:
        text = read_file(path, "the series").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedError(
            f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8"
        ) from error
    values: list[float] = []
    try:
        rows = list(csv.reader(text.splitlines()))
    except csv.Error as error:
        raise MalformedError(f"{path}: {error}; give one column of numbers") from error
    for row, cells in enumerate(rows, start=1):
        if not cells:
            continue
        if len(cells) > 1:
            raise MalformedError(
                f"{path}, row {row}: {len(cells)} columns; give one column of numbers"
            )
        try:
            value = float(cells[0])
        except ValueError as error:
            if row == 1:
                continue
            raise MalformedError(f"{path}, row {row}: '{cells[0]}' is not a number") from error
        if not math.isfinite(value):
            raise MalformedError(f"{path}, row {row}: {value} is not finite; fill or remove it")
        values.append(value)
    checked = _checked(np.asarray(values, dtype=np.float64), str(path))
    series = Series(checked, source.season, held_out=checked)
    if source.season > series.validation_end:
        raise MalformedError(
            f"{path}: --season {source.season} is longer than the {series.validation_end} values "
            "before the test part; give a shorter one"
        )
    return Series(checked, source.season, checked[series.validation_end :][-2 * _HELD_OUT :])
