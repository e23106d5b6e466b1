"""The contract of a model: the manifest, and bundles opened and checked against it.

Nothing here imports torch or onnx. ``pipeline.bundle`` writes what is read here, and joins it with
the network. ``law`` and ``tensors`` stand on nothing else of this package, and the contract of the
built-in network stands on them; so the other modules are imported when they are asked for.
"""

from typing import TYPE_CHECKING

from pipeline.later import later

if TYPE_CHECKING:
    from pipeline.contract.bundle import Bundle, find_bundles, open_bundle
    from pipeline.contract.manifest import FileEntry, Manifest
    from pipeline.contract.records import Errors, Scaler, SeriesScores, TextScores, TrainingRecord
else:
    __getattr__ = later(
        __name__,
        {
            "bundle": ("Bundle", "find_bundles", "open_bundle"),
            "manifest": ("FileEntry", "Manifest"),
            "records": ("Errors", "Scaler", "SeriesScores", "TextScores", "TrainingRecord"),
        },
    )

__all__ = [
    "Bundle",
    "Errors",
    "FileEntry",
    "Manifest",
    "Scaler",
    "SeriesScores",
    "TextScores",
    "TrainingRecord",
    "find_bundles",
    "open_bundle",
]
