"""One model compared with the reference, by the same chained calls, call by call."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.contract.law import ILL_CONDITIONED
from pipeline.contract.tensors import Tensors
from pipeline.errors import MalformedError, UsageError, one_line
from pipeline.validate.compare import record_of
from pipeline.validate.foreign.inputs import INTEGERS
from pipeline.validate.foreign.model import Array, ForeignModel, OnnxModel, TorchScriptModel
from pipeline.validate.foreign.pair import Plan
from pipeline.validate.records import CaseRecord
from pipeline.verify import Answer, Case, answer, replay

# What PyTorch and ONNX Runtime say of an index that a table does not have.
_OUT_OF_RANGE = re.compile(r"index out of range|out of data bounds|index .*out of bounds")


@dataclass(frozen=True)
class _Called:
    """A file, called by the names of the contract that it shares with the other file."""

    model: ForeignModel
    plan: Plan
    order: Sequence[int]
    outputs: Sequence[int]

    def call(self, inputs: Mapping[str, Array]) -> list[Array]:
        """One call.

        Raises:
            MalformedError: it gives another number of tensors than the other file.
        """
        found = self.model.call(self.given(inputs))
        names = [item.name for item in self.plan.contract.outputs]
        if len(found) != len(names):
            raise MalformedError(
                f"{self.model.path} gives {len(found)} tensors, and the other file {len(names)} "
                f"({', '.join(names)}); give two files that give the same"
            )
        return [found[index] for index in self.outputs]

    def given(self, inputs: Mapping[str, Array]) -> list[Array]:
        """The inputs that the model takes, in its own order."""
        return [inputs[self.plan.contract.inputs[index].name] for index in self.order]


class Comparison:
    """One model compared with the reference on all cases."""

    def __init__(self, reference: ForeignModel, other: ForeignModel, plan: Plan) -> None:
        self.plan, self.contract = plan, plan.contract
        outputs = range(len(self.contract.outputs))
        self.reference = _Called(reference, plan, plan.order, outputs)
        self.other = _Called(other, plan, plan.other_order, plan.other_outputs)
        self.twin: _Called | None = None
        if isinstance(reference, TorchScriptModel):
            exact = TorchScriptModel(reference.path, reference.provider, exact=True)
            self.twin = _Called(exact, plan, plan.order, outputs)
        self.records: list[CaseRecord] = []
        self.placement: dict[str, str] = {}
        self.faults: list[str] = []
        self.refused_by_both: list[str] = []
        self.ill_conditioned: list[str] = []

    def run(self, case: Case) -> None:
        """Run both models on one case; an error of a runtime is recorded, not raised."""
        truth = self._answered(case)
        found = self._refusal_or(self.other, case)
        self._must_have_range(truth, found)
        if isinstance(truth, str) and isinstance(found, str):
            self.refused_by_both.append(f"{case.name}: {truth}; {found}")
        elif isinstance(truth, str):
            self.faults.append(f"{case.name}: {self.reference.model.path} alone refuses: {truth}")
        elif isinstance(found, str):
            self.faults.append(f"{case.name}: {self.other.model.path} alone refuses: {found}")
        elif fault := self._differ_in_kind(truth, found):
            self.faults.append(f"{case.name}: {fault}")
        elif record := self._compared(truth, found):
            self.records.append(record)
            if len(self.records) == 1:
                given = self.other.given({**case.calls[0], **case.start})
                self.placement = self.other.model.placement(given)

    def _must_have_range(self, truth: Answer | str, found: list[Tensors] | str) -> None:
        """Refuse integers that were drawn from a guessed range, and that a table does not have."""
        drawn = [
            item.name
            for item in self.contract.inputs
            if np.dtype(item.type).kind in "iu" and item.name not in self.plan.values
        ]
        for model, said in ((self.reference.model, truth), (self.other.model, found)):
            if drawn and isinstance(said, str) and _OUT_OF_RANGE.search(said):
                raise UsageError(
                    f"{', '.join(drawn)} was drawn from 0 to {INTEGERS - 1}, and {model.path} has "
                    f"no such index; tell the range, as in --input {drawn[0]}=0..4"
                )

    def _answered(self, case: Case) -> Answer | str:
        """The reference's answer, or its error as a string if it refuses the case."""
        if self.twin is not None:
            exact = self._refusal_or(self.twin, case)
            if isinstance(exact, str) or not _finite(exact):
                self.twin = None  # a module that insists on float32
        try:
            return answer(self.contract, case, self.reference, self.twin)
        except MalformedError:
            raise
        except Exception as error:
            return one_line(error)

    def _refusal_or(self, model: _Called, case: Case) -> list[Tensors] | str:
        try:
            return replay(model, self.contract, case)
        except MalformedError:
            raise
        except Exception as error:
            return one_line(error)

    def _differ_in_kind(self, truth: Answer, found: Sequence[Tensors]) -> str | None:
        """Why the results cannot be compared number by number."""
        here, there = self.other.model.path, self.reference.model.path
        empty = {item.name for item in self.contract.outputs if 0 in item.shape}
        for call, (theirs, ours) in enumerate(zip(truth.expected, found, strict=True), 1):
            for name, y32 in theirs.items():
                y = ours[name]
                if y.ndim != y32.ndim:
                    raise MalformedError(
                        f"{name} is {list(y.shape)} in {here} and {list(y32.shape)} in {there}; "
                        "give two files that give the same"
                    )
                if y.shape != y32.shape:
                    return f"{name} has shape {list(y.shape)}, not {list(y32.shape)}"
                if not y.size and name not in empty:
                    return f"{name} is empty"
                if not np.isfinite(y32).all():
                    at = tuple(map(int, np.argwhere(~np.isfinite(y32))[0]))
                    return f"call {call}, {name}{list(at)} is {y32[at]} in {there} itself"
        return None

    def _compared(self, truth: Answer, found: list[Tensors]) -> CaseRecord | None:
        """The record of a case; None if the reference itself is too far off to prove anything."""
        if truth.ill_conditioned:  # later calls of a chain say nothing, so each stands alone
            found = replay(self.other, truth.contract, truth.case)
        if _finite(found) and truth.proves_nothing:
            self.ill_conditioned.append(truth.case.name)
            return None
        return record_of(truth, found)

    def finish(self) -> list[str]:
        """The faults that are not about numbers."""
        faults = self.faults[:1]
        if len(self.faults) > 1:
            faults.append(f"{len(self.faults)} cases fail like this")
        if not self.records and not faults:
            faults.append("nothing was compared")
        home, provider = self.other.model.home, self.other.model.provider
        faults += [f"{node} ran on {at}" for node, at in self.placement.items() if at != home]
        if provider != "cpu" and isinstance(self.other.model, OnnxModel) and not self.placement:
            faults.append(f"no recurrent node was seen to run on {provider}")
        return faults

    def notes(self) -> list[str]:
        """The notes for a reader of the row."""
        notes = list(self.plan.notes)
        if self.refused_by_both:
            notes.append(
                f"both files refuse {len(self.refused_by_both)} cases, "
                f"the first is {self.refused_by_both[0]}"
            )
        if self.ill_conditioned:
            notes.append(
                f"{len(self.ill_conditioned)} cases prove nothing, as the float32 of "
                f"{self.reference.model.path} is itself more than {ILL_CONDITIONED} off in them, "
                f"first in {self.ill_conditioned[0]}"
            )
        if self.records and self.twin is None:
            notes.append(
                f"compared with {self.reference.model.path} itself, without a float64 twin"
            )
        return notes


def _finite(calls: Sequence[Tensors]) -> bool:
    return all(bool(np.isfinite(y).all()) for call in calls for y in call.values())
