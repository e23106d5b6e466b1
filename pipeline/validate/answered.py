"""The answers of a reference to every case, by which runtimes are judged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from pipeline.contract.law import EPS, Precision
from pipeline.validate.cases import make_cases
from pipeline.validate.free_run import FreeAnswer
from pipeline.verify import Answer, Lesser, Reference, answer, own_errors

FreeAnswers = Callable[[Precision], FreeAnswer | None]


@dataclass(frozen=True)
class Answered:
    """The reference's answers to every case, and its free runs by precision, if it has some.

    Answers that were ``stored`` come from a reference that cannot run here, in no precision.
    """

    reference: Reference
    answers: Sequence[Answer]
    free_answers: FreeAnswers = lambda precision: None
    stored: bool = False

    def judging(self, precision: Precision) -> Sequence[Answer]:
        """The answers that a runtime which computes in ``precision`` is judged by.

        Their own errors are the reference's in that precision, the largest over several roundings
        of its weights. Errors that are not finite are left out. If the reference has none in that
        precision, it is run from inputs that are rounded so.
        """
        if precision == "float32" or self.stored:
            return self.answers
        reference = self.reference
        if reference.lesser is None:
            others: Sequence[Lesser] = [Lesser(reference.model, EPS[precision])]
        else:
            others = reference.lesser(precision)
        answers = list(self.answers)
        for lesser in others:
            for place, exact in enumerate(answers):
                errors = own_errors(exact, lesser.model, lesser.eps)
                own = {
                    name: max(exact.own[name], error if isfinite(error) else 0.0)
                    for name, error in errors.items()
                }
                answers[place] = replace(exact, own=own)
        return answers


def answered(reference: Reference, free_answers: FreeAnswers = lambda precision: None) -> Answered:
    """The answers of ``reference`` to every case."""
    answers = [
        answer(reference.contract, case, reference.model, reference.twin)
        for case in make_cases(reference)
    ]
    return Answered(reference, answers, free_answers)
