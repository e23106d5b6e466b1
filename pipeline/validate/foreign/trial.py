"""One runtime beside the reference: the same chained calls of both, compared call by call."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.contract.law import (
    ILL_CONDITIONED,
    Deviation,
    allowed,
    deviation,
    errors,
    nudged,
    own_error,
)
from pipeline.errors import MalformedError, one_line
from pipeline.signature import BATCH, TIME
from pipeline.validate.compare import case_record
from pipeline.validate.foreign.model import Array, Model, OnnxModel, TorchScriptModel
from pipeline.validate.foreign.pair import Plan
from pipeline.validate.foreign.state import first_like
from pipeline.validate.records import CaseRecord

Calls = list[list[Array]]  # per call, every tensor

_NUDGES = 8


@dataclass(frozen=True)
class Case:
    """Every input of each call; those of a state count in the first call alone."""

    name: str
    sizes: dict[str, int]
    calls: Calls


class Trial:
    """One runtime beside the reference, through all cases."""

    def __init__(self, reference: Model, other: Model, plan: Plan) -> None:
        self.reference, self.other, self.plan = reference, other, plan
        self.twin: Model | None = None
        if isinstance(reference, TorchScriptModel):
            self.twin = TorchScriptModel(reference.path, reference.provider, exact=True)
        self.records: list[CaseRecord] = []
        self.placement: dict[str, str] = {}
        self.faults: list[str] = []
        self.refused_by_both: list[str] = []
        self.ill_conditioned: list[str] = []

    def run(self, case: Case) -> None:
        """Both models through one case; whatever a runtime throws is a finding."""
        expected = self._chained(self.reference, case)
        found = self._chained(self.other, case)
        if isinstance(expected, str) and isinstance(found, str):
            self.refused_by_both.append(f"{case.name}: {expected}; {found}")
        elif isinstance(expected, str):
            self.faults.append(f"{case.name}: {self.reference.path} alone refuses: {expected}")
        elif isinstance(found, str):
            self.faults.append(f"{case.name}: {self.other.path} alone refuses: {found}")
        elif fault := self._differ_in_kind(expected, found):
            self.faults.append(f"{case.name}: {fault}")
        elif record := self._compared(case, expected, found):
            self.records.append(record)
            if len(self.records) == 1:
                given = [case.calls[0][index] for index in self.plan.other_order]
                self.placement = self.other.placement(given)

    def _chained(self, model: Model, case: Case, carried: Calls | None = None) -> Calls | str:
        """The outputs of chained calls, each from the state before, or from that of ``carried``.

        What the runtime says when it refuses comes back as a string.
        """
        plan, results = self.plan, Calls()
        own = model is self.other
        for number, call in enumerate(case.calls):
            given = list(call)
            if number:
                for before, after in plan.states:
                    given[before] = (carried or results)[number - 1][after]
            try:
                found = model.call([given[i] for i in (plan.other_order if own else plan.order)])
            except Exception as error:
                return one_line(error)
            if len(found) != len(plan.outputs):
                raise MalformedError(
                    f"{model.path} gives {len(found)} tensors, and the other file "
                    f"{len(plan.outputs)} ({', '.join(plan.outputs)}); give two files that give "
                    "the same"
                )
            results.append([found[i] for i in plan.other_outputs] if own else found)
        return results

    def _differ_in_kind(self, expected: Calls, found: Calls) -> str | None:
        """Why the results cannot be compared number by number."""
        for call, (theirs, ours) in enumerate(zip(expected, found, strict=True), 1):
            for name, y32, y in zip(self.plan.outputs, theirs, ours, strict=True):
                if y.ndim != y32.ndim:
                    raise MalformedError(
                        f"{name} is {list(y.shape)} in {self.other.path} and {list(y32.shape)} "
                        f"in {self.reference.path}; give two files that give the same"
                    )
                if y.shape != y32.shape:
                    return f"{name} has shape {list(y.shape)}, not {list(y32.shape)}"
                if not y.size:
                    return f"{name} is empty"
                if not np.isfinite(y32).all():
                    at = tuple(map(int, np.argwhere(~np.isfinite(y32))[0]))
                    return (
                        f"call {call}, {name}{list(at)} is {y32[at]} in {self.reference.path} "
                        "itself"
                    )
        return None

    def _compared(self, case: Case, expected: Calls, found: Calls) -> CaseRecord | None:
        """The record of a case; None if the reference itself is too far off to prove anything."""
        exact, ill_conditioned = self._exact(case, expected)
        if ill_conditioned:
            # Later calls of a chain say nothing here, so each starts from the reference's state.
            again = self._chained(self.other, case, carried=expected)
            found = found if isinstance(again, str) else again
        if _finite(found) and self._own_error(expected, exact) > ILL_CONDITIONED:
            self.ill_conditioned.append(case.name)
            return None
        places = self._places(found, exact, [expected])
        if max(place.share for place in places) > 1 and self.twin is not None:
            own = [expected, *self._nudged(case, expected if ill_conditioned else None)]
            places = self._places(found, exact, own)
        count = len(self.plan.outputs)
        after = {index for _, index in self.plan.states}
        batch, steps = (first_like(kind, case.sizes) for kind in (BATCH, TIME))
        return case_record(
            case.name,
            batch=case.sizes[batch] if batch else 1,
            time=case.sizes[steps] if steps else 1,
            outputs=[place for k, place in enumerate(places) if k % count not in after],
            states=[place for k, place in enumerate(places) if k % count in after],
            difference=max(
                errors(y, y32).max()
                for call, wanted in zip(found, expected, strict=True)
                for y, y32 in zip(call, wanted, strict=True)
            ),
            calls=len(case.calls),
            ill_conditioned=ill_conditioned,
        )

    def _places(self, found: Calls, exact: Calls, own: Sequence[Calls]) -> list[Deviation]:
        """How far off every tensor of every call is; ``own`` are runs of the reference itself."""
        names = self.plan.outputs
        off = [max(_own_error(run, exact, index) for run in own) for index in range(len(names))]
        return [
            deviation(f"call {number}, {name}", y, y64, allowed(y64, own_off))
            for number, (call, truth) in enumerate(zip(found, exact, strict=True), 1)
            for name, y, y64, own_off in zip(names, call, truth, off, strict=True)
        ]

    def _nudged(self, case: Case, carried: Calls | None) -> Iterator[Calls]:
        """Runs of the reference on inputs that are off by one rounding.

        In a network that amplifies rounding, the one run of the case can be exact by luck.
        """
        for seed in range(_NUDGES):
            calls = [[nudged(tensor, seed=seed) for tensor in call] for call in case.calls]
            run = self._chained(self.reference, replace(case, calls=calls), carried)
            if not isinstance(run, str) and _finite(run):
                yield run

    def _exact(self, case: Case, expected: Calls) -> tuple[Calls, bool]:
        """What the reference says in float64, if it can; and whether it amplifies rounding."""
        if self.twin is None:
            return expected, False
        exact = self._chained(self.twin, case)
        if isinstance(exact, str) or not _finite(exact):
            self.twin = None  # a module that insists on float32
            return expected, False
        if self._own_error(expected, exact) <= ILL_CONDITIONED:
            return exact, False
        again = self._chained(self.twin, case, carried=expected)
        return (exact if isinstance(again, str) else again), True

    def _own_error(self, expected: Calls, exact: Calls) -> float:
        indices = range(len(self.plan.outputs))
        return max(_own_error(expected, exact, index) for index in indices)

    def finish(self) -> list[str]:
        """What is wrong beside the numbers."""
        faults = self.faults[:1]
        if len(self.faults) > 1:
            faults.append(f"{len(self.faults)} cases fail like this")
        if not self.records and not faults:
            faults.append("nothing was compared")
        home, provider = self.other.home, self.other.provider
        faults += [f"{node} ran on {at}" for node, at in self.placement.items() if at != home]
        if provider != "cpu" and isinstance(self.other, OnnxModel) and not self.placement:
            faults.append(f"no recurrent node was seen to run on {provider}")
        return faults

    def notes(self) -> list[str]:
        """What a reader should know besides."""
        notes = list(self.plan.notes)
        if self.refused_by_both:
            notes.append(
                f"both files refuse {len(self.refused_by_both)} cases, "
                f"the first is {self.refused_by_both[0]}"
            )
        if self.ill_conditioned:
            notes.append(
                f"{len(self.ill_conditioned)} cases prove nothing, as the float32 of "
                f"{self.reference.path} is itself more than {ILL_CONDITIONED} off in them, "
                f"first in {self.ill_conditioned[0]}"
            )
        if self.records and self.twin is None:
            notes.append(f"compared with {self.reference.path} itself, without a float64 twin")
        return notes


def _finite(calls: Calls) -> bool:
    return all(bool(np.isfinite(y).all()) for call in calls for y in call)


def _own_error(expected: Calls, exact: Calls, index: int) -> float:
    """How far the reference's own float32 is off in one tensor, over all calls."""
    pairs = zip(expected, exact, strict=True)
    return max(own_error(y64[index], [y32[index].astype(np.float64)]) for y32, y64 in pairs)
