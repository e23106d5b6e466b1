"""Does a runtime give PyTorch's numbers? Every case, both outputs, against the float64 twin."""

from pipeline.validate.own import marked
from pipeline.validate.records import CaseRecord, FreeRun, Replay, Row, Validation
from pipeline.validate.run import current_validation, last_validation, validate_bundle

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
