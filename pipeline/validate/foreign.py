"""Compare two models of others: chained calls at several sizes, call by call.

The first file is the reference. Where it is TorchScript that also works in float64, the rule is
that of bundles: as good as the reference itself, or within the tolerance. Elsewhere it is the
tolerance alone, around the reference's own numbers.
"""

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np
import torch

from pipeline.errors import MalformedError, UnavailableError, one_line
from pipeline.runtimes import require
from pipeline.signature import BATCH, FLOAT32, ILL_CONDITIONED, OWN_ERRORS, TIME
from pipeline.storage import sha256
from pipeline.validate.compare import finite
from pipeline.validate.foreign_model import Array, Model, OnnxModel, Tensor, TorchScriptModel
from pipeline.validate.foreign_pair import Choices, Plan, first_like, make_plan
from pipeline.validate.records import CaseRecord, Row, Validation, Worst
from pipeline.validate.run import describe, validation_versions

SIZES = (1, 2, 3, 7, 50)
CALLS = 5
_SHIFTS = (0, 1, 3)  # how far apart in SIZES neighbouring axes are
_INTEGERS = 10  # exclusive upper end of small integers, such as tokens
_SEED = 20_240_229

Calls = list[list[Array]]  # per call, every tensor


@dataclass(frozen=True)
class ForeignFile:
    """A file and the format that it was given as."""

    format: str
    path: Path

    def open(self, provider: str = "cpu") -> Model:
        """The file in its runtime.

        Raises:
            MalformedError: it is not what it was given as.
            UnavailableError: the provider cannot be started.
        """
        return (OnnxModel if self.format == OnnxModel.format else TorchScriptModel)(
            self.path, provider
        )


@dataclass(frozen=True)
class Case:
    """Every input of each call; those of a state count in the first call alone."""

    name: str
    sizes: dict[str, int]
    calls: Calls


def validate_pair(
    first: ForeignFile, second: ForeignFile, providers: tuple[str, ...], choices: Choices
) -> Validation:
    """Compare the second file, on every provider, with the first on the CPU.

    Raises:
        MalformedError: a file is not what it should be, or the two do not correspond.
        UsageError: ``choices`` do not fit the files.
    """
    reference = first.open()
    other = second.open()
    plan = make_plan(reference, other, choices)
    label = f"{first.path.name} → {second.path.name}"
    return Validation(
        model=label,
        bundle_sha256=sha256(reference.data + other.data),
        providers=providers,
        tolerance=FLOAT32,
        versions=validation_versions(),
        machine=f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
        rows=tuple(_row(label, reference, second, provider, plan) for provider in providers),
    )


def _row(label: str, reference: Model, file: ForeignFile, provider: str, plan: Plan) -> Row:
    row = Row(
        model=label,
        format=file.format,
        runtime="",
        provider=provider,
        status="not run",
    )
    try:
        require((provider,))
        other = file.open(provider)
    except UnavailableError as error:
        return row.model_copy(update={"reason": str(error)})
    started = time.monotonic()
    trial = _Trial(reference, other, plan)
    for case in _cases(plan):
        trial.run(case)
    faults = trial.finish()
    records = trial.records
    failed = [describe(record) for record in records if not record.passed]
    return row.model_copy(
        update={
            "runtime": other.runtime,
            "status": "fail" if faults or failed else "pass",
            "reason": "; ".join([*faults, *failed[:1], *trial.notes()]),
            "placement": trial.placement,
            "output_error": _largest(records, lambda record: record.output_error),
            "state_error": _largest(records, lambda record: record.state_error),
            "pytorch_difference": _largest(records, lambda record: record.pytorch_difference),
            "share": _largest(records, lambda record: record.share),
            "seconds": round(time.monotonic() - started, 2),
            "cases": tuple(records),
        }
    )


def _largest(
    records: Sequence[CaseRecord], error: Callable[[CaseRecord], float | None]
) -> float | None:
    """The largest error; None, which stands for infinity, when one of them is."""
    errors = map(error, records)
    return finite(max((inf if item is None else item for item in errors), default=inf))


def _cases(plan: Plan) -> Iterator[Case]:
    """Every dynamic axis through all sizes, together and apart, from zeros and random states."""
    count = len(SIZES)
    several = [
        tuple(SIZES[(start + shift * place) % count] for place in range(len(plan.symbols)))
        for shift in _SHIFTS
        for start in range(count)
    ]
    fixed = {plan.inputs[before].name for before, _ in plan.states} <= set(plan.values)
    for chosen in dict.fromkeys(several):
        sizes = dict(zip(plan.symbols, chosen, strict=True))
        shown = " ".join(f"{axis}={size}" for axis, size in sizes.items())
        for start in ("chained calls",) if fixed else ("chained calls", "random state"):
            rng = np.random.default_rng(_SEED)
            calls = [
                [_filled(item, sizes, plan, rng) for item in plan.inputs] for _ in range(CALLS)
            ]
            if start == "chained calls":
                for before, _ in plan.states:
                    if plan.inputs[before].name not in plan.values:
                        calls[0][before] = np.zeros_like(calls[0][before])
            yield Case(f"{start}, {shown}" if shown else start, sizes, calls)


def _filled(item: Tensor, sizes: dict[str, int], plan: Plan, rng: np.random.Generator) -> Array:
    """An input of its declared type: normal floats, small integers, or the value that is told."""
    shape = [axis if isinstance(axis, int) else sizes[axis] for axis in item.shape]
    kind = np.dtype(item.type)
    if item.name in plan.values:
        return np.full(shape, plan.values[item.name]).astype(kind)
    if kind.kind == "f":
        return np.asarray(rng.normal(size=shape)).astype(kind)
    return np.asarray(rng.integers(0, 2 if kind.kind == "b" else _INTEGERS, shape)).astype(kind)


class _Trial:
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
            if not self.placement:
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
        if self._own_error(expected, exact) > ILL_CONDITIONED:
            self.ill_conditioned.append(case.name)
            return None
        after = {index for _, index in self.plan.states}
        places = []
        for index, name in enumerate(self.plan.outputs):
            own = _own_error(expected, exact, index)
            for call in range(CALLS):
                numbers = (run[call][index] for run in (found, expected, exact))
                places.append(_place(f"call {call + 1}, {name}", index in after, own, *numbers))
        worst = max(places, key=lambda place: place.share)
        batch, steps = (first_like(kind, case.sizes) for kind in (BATCH, TIME))
        return CaseRecord(
            case=case.name,
            batch=case.sizes[batch] if batch else 1,
            time=case.sizes[steps] if steps else 1,
            calls=CALLS,
            of_the_task=True,
            ill_conditioned=ill_conditioned,
            output_error=finite(max((p.error for p in places if not p.of_state), default=0)),
            state_error=finite(max((p.error for p in places if p.of_state), default=0)),
            pytorch_difference=finite(max(place.difference for place in places)),
            share=finite(worst.share),
            worst=worst.worst,
            passed=worst.share <= 1,
        )

    def _exact(self, case: Case, expected: Calls) -> tuple[Calls, bool]:
        """What the reference says in float64, if it can; and whether it amplifies rounding."""
        if self.twin is None:
            return expected, False
        exact = self._chained(self.twin, case)
        if isinstance(exact, str):
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


@dataclass(frozen=True)
class _Place:
    """How far off one tensor of one call is."""

    of_state: bool
    error: float
    difference: float
    share: float
    worst: Worst


def _own_error(expected: Calls, exact: Calls, index: int) -> float:
    """How far the reference's own float32 is off in one tensor, over all calls."""
    return max(
        float(np.abs(y32[index].astype(np.float64) - y64[index]).max(initial=0))
        for y32, y64 in zip(expected, exact, strict=True)
    )


def _place(tensor: str, of_state: bool, own: float, y: Array, y32: Array, y64: Array) -> _Place:
    whole = y32.dtype.kind != "f"  # integers and booleans are right or wrong
    y, y32, y64 = (item.astype(np.float64) for item in (y, y32, y64))
    error = np.abs(y - y64)
    allowed = np.maximum(FLOAT32.atol + FLOAT32.rtol * np.abs(y64), OWN_ERRORS * own)
    share = np.where(error == 0, 0, np.inf if whole else error / allowed)
    share = np.where(np.isfinite(y), share, np.inf)
    at = np.unravel_index(int(share.argmax()), share.shape)
    return _Place(
        of_state=of_state,
        error=float(np.where(np.isfinite(y), error, np.inf).max()),
        difference=float(np.where(np.isfinite(y), np.abs(y - y32), np.inf).max()),
        share=float(share[at]),
        worst=Worst(
            tensor=tensor,
            index=tuple(map(int, at)),
            expected=float(y64[at]),
            found=finite(float(y[at])),
        ),
    )
