"""One engine of verification: any callable beside a reference, over any contract.

A :class:`Case` is what goes in. :func:`answer` asks the reference for the truth of it,
:func:`replay` puts a model through it, and :func:`deviations` says how far off that is, by the law.
The export's post-conditions, the validation of bundles and the comparison of strangers' files all
stand on these.
"""

from pipeline.verify.answer import Answer, answer, own_errors
from pipeline.verify.case import Case, Model, chained, replay
from pipeline.verify.compare import deviations

__all__ = ["Answer", "Case", "Model", "answer", "chained", "deviations", "own_errors", "replay"]
