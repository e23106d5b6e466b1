"""Bundles with loops that ``pipeline run`` can run, and what they are given."""

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.bundle import Bundle

CHAR, SINE = "char-lstm", "sine-gru"


HISTORY = np.sin(np.arange(40) / 10).astype(np.float32)


TABLE = "value\n" + "".join(f"{value:.9g}\n" for value in HISTORY)


@pytest.fixture(scope="session")
def looped(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Callable[[str], Bundle]) -> Path:
    """A folder with a text and a series bundle that run; shared, so nobody changes it."""
    root = tmp_path_factory.mktemp("looped")
    for name in (CHAR, SINE):
        shutil.copytree(tiny_bundle(name).folder, root / name)
    return root


@pytest.fixture
def runnable(looped: Path, tmp_path: Path) -> Path:
    """The folder ``exported`` where the command runs, free to be changed."""
    shutil.copytree(looped, tmp_path / "exported")
    (tmp_path / "sine.csv").write_text(TABLE)
    return tmp_path / "exported"


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
