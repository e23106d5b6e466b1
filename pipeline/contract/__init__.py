"""The contract of a model: the manifest, and bundles opened and checked against it.

Nothing here imports torch or onnx. ``pipeline.bundle`` writes the bundles that are read here, and
makes the network from them.
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
