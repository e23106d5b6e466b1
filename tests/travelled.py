"""A text model that has been trained, exported and validated by commands."""

import shutil
from pathlib import Path

import pytest
from command_line import Here, go

SMALL = ["--hidden-size", "4", "--epochs", "1", "--window", "16"]


FEW = ("--runtime", "onnxruntime", "--force")


@pytest.fixture(scope="session")
def travelled(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Path:
    """A folder in which two small models went the whole road."""
    folder = tmp_path_factory.mktemp("road")
    go(
        folder,
        ["train", "sine-gru", *SMALL, "--length", "200"],
        ["train", "char-lstm", *SMALL, "--text", str(text_file)],
        ["export"],
        ["validate"],
    )
    return folder


@pytest.fixture
def arrived(travelled: Path, tmp_path: Path, pipeline: Here) -> Path:
    """A copy of the travelled road to stand in and to damage."""
    for part in ("checkpoints", "exported"):
        shutil.copytree(travelled / part, tmp_path / part)
    return tmp_path


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.suffix == ".tmp" or "previous" in path.name]
