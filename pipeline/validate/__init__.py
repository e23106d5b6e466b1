"""Validation: every runtime is compared with the float64 twin of PyTorch, on every case."""

from typing import TYPE_CHECKING

from pipeline.later import later
from pipeline.validate.own import marked
from pipeline.validate.records import CaseRecord, FreeRun, Replay, Row, Validation

if TYPE_CHECKING:
    from pipeline.validate.current import current_validation, last_validation
    from pipeline.validate.run import validate_bundle
else:
    __getattr__ = later(
        __name__,
        {"current": ("current_validation", "last_validation"), "run": ("validate_bundle",)},
    )

__all__ = [
    "CaseRecord",
    "FreeRun",
    "Replay",
    "Row",
    "Validation",
    "current_validation",
    "last_validation",
    "marked",
    "validate_bundle",
]
