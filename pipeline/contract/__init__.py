"""What a model promises, for every reader: the manifest, and the files that it vouches for.

Nothing here imports torch or onnx. ``pipeline.bundle`` writes what is read here, and joins it with
the network.
"""

from pipeline.contract.bundle import Bundle, open_bundle
from pipeline.contract.manifest import FileEntry, Manifest, StateEntry
from pipeline.contract.records import Errors, Scaler, SeriesScores, TextScores, TrainingRecord

__all__ = [
    "Bundle",
    "Errors",
    "FileEntry",
    "Manifest",
    "Scaler",
    "SeriesScores",
    "StateEntry",
    "TextScores",
    "TrainingRecord",
    "open_bundle",
]
