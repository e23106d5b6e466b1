"""The engine of verification: it compares any callable with a reference, over any contract.

A :class:`Reference` is the model that all are compared with. A :class:`Case` holds the inputs.
:func:`answer` runs the reference on it, :func:`replay` runs a model on it, and :func:`deviations`
tells how far the model is from the reference, by the law. The export's post-conditions, the
validation of bundles and the comparison of other people's files use these.
"""

from pipeline.verify.answer import Answer, answer, own_errors
from pipeline.verify.case import Case, Model, chained, replay
from pipeline.verify.compare import deviations
from pipeline.verify.reference import Lesser, Reference, Strange, TaskReference

__all__ = [
    "Answer",
    "Case",
    "Lesser",
    "Model",
    "Reference",
    "Strange",
    "TaskReference",
    "answer",
    "chained",
    "deviations",
    "own_errors",
    "replay",
]
