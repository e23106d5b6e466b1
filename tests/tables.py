"""Tables of series, and a reader of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.config import SeriesSource
from pipeline.data import Series
from pipeline.data.frames import read_series

LENGTH = 120


def frame(freq: str = "D", length: int = LENGTH, **columns: Any) -> pd.DataFrame:
    """``ds`` at steps of ``freq``, ``y`` that counts from 0, and ``columns``."""
    times = pd.date_range("2024-01-01", periods=length, freq=freq)
    return pd.DataFrame({"ds": times, "y": np.arange(length, dtype=float), **columns})


class Reader:
    """Writes a table and reads it as a series."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "data.csv"

    def __call__(self, table: pd.DataFrame | str, **options: Any) -> Series:
        text = table if isinstance(table, str) else table.to_csv(index=False)
        self.file.write_text(text, encoding="utf-8")
        return read_series(SeriesSource(file=str(self.file), **options))


@pytest.fixture
def read_table(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def lines(table: pd.DataFrame) -> list[str]:
    rows: list[str] = table.to_csv(index=False).splitlines()
    return rows
