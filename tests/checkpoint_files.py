"""The small checkpoint that tests of checkpoints read, damage and replace."""

from pathlib import Path

from tiny import saved, series_config

from pipeline.checkpoint import load_network, read_checkpoint
from pipeline.model import Network

LSTM = series_config("lstm", num_layers=2, epochs=1)


def save_lstm(folder: Path) -> Path:
    """The folder of a checkpoint of a two-layer LSTM."""
    saved(folder, LSTM)
    return folder


def weights_of(folder: Path) -> Path:
    (path,) = folder.glob("weights-*.safetensors")
    return path


def load_all(folder: Path) -> Network:
    return load_network(folder, read_checkpoint(folder))
