"""The test of the validator itself: planted faults must be caught, correct models must pass."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal

import numpy as np

from pipeline.bundle.trial import Trial, random_trial
from pipeline.cells import CELLS, ENTRIES, Cell
from pipeline.config import Record
from pipeline.contract.law import FLOAT32
from pipeline.contract.small_weights import SmallType
from pipeline.runtimes.onnx_runtime import EXECUTION_PROVIDER, OnnxRuntime
from pipeline.threads import torch_threads
from pipeline.validate.answered import Answered, answered
from pipeline.validate.audit import audit_onnx
from pipeline.validate.faults import FAULTS, plant
from pipeline.validate.module_audit import faults_of_graph
from pipeline.validate.network import answered_by
from pipeline.validate.records import Row
from pipeline.validate.run import validation_row
from pipeline.validate.trial_modules import trial_modules

ELSEWHERE = "a run on another provider than the one asked for"
_LARGEST_GAIN = 4.0

_GATED = [cell for cell in CELLS if ENTRIES[cell].is_gated]
_VARIANTS: tuple[tuple[str, Cell, SmallType], ...] = (
    ("series", _GATED[0], "int8"),
    ("text", _GATED[-1], "int4"),
)

Audit = Callable[[bytes], Sequence[str]]
"""The faults in the weights of an ONNX file."""


class Outcome(Record):
    """The outcome of validating one planted fault, or a correct model (``fault`` is empty)."""

    model: str
    fault: str
    status: Literal["caught", "missed", "does not apply", "passed", "false alarm"]
    reason: str


class _AskedForCuda(OnnxRuntime):
    """A session that was asked to run on CUDA and silently ran on the CPU."""

    def placement(self) -> dict[str, str]:
        """Where the nodes ran, which is not the provider that was asked for."""
        found = super().placement()
        self.home = EXECUTION_PROVIDER["cuda"]
        return found


def planted_faults(report: Callable[[str], None] = lambda line: None) -> Iterator[Outcome]:
    """Plant every fault, one at a time, in a newly exported model of every task and cell.

    The tasks are those of the built-in networks, some with small weights, and users' modules.
    """
    for name, file, exact, audit in _planted_into(report):
        yield _honest(name, file, exact, audit)
        for fault in FAULTS:
            faulty = plant(fault, file, exact.reference.contract)
            if faulty is None:
                yield Outcome(model=name, fault=fault.name, status="does not apply", reason="")
            else:
                yield _judged(name, fault.name, _row(name, faulty, exact, audit))
        elsewhere = _row(name, file, exact, audit, _AskedForCuda)
        yield _judged(name, ELSEWHERE, elsewhere)


def _planted_into(report: Callable[[str], None]) -> Iterator[tuple[str, bytes, Answered, Audit]]:
    """Name, ONNX file, answers and audit of the models that faults are planted into."""
    for task in ("series", "text"):
        for seed, cell in enumerate(CELLS):
            report(f"planting faults into {task}-{cell}")
            trial = random_trial(task, cell, hidden_size=16, num_layers=2, seed=seed)
            yield f"{task}-{cell}", trial.graph, *_judging(trial)
    for task, cell, stored in _VARIANTS:
        report(f"planting faults into {task}-{cell} in {stored}")
        trial = random_trial(task, cell, hidden_size=16, num_layers=2, seed=0, stored=stored)
        yield f"{task}-{cell} in {stored}", trial.graph, *_judging(trial)
    for name, file, weights, reference in trial_modules():
        report(f"planting faults into {name}")
        yield name, file, answered(reference), partial(faults_of_graph, weights=weights)


def honest_models(
    count: int, report: Callable[[str], None] = lambda line: None
) -> Iterator[Outcome]:
    """Validate ``count`` random architectures without faults, ill-conditioned ones among them."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        task, cell = ("series", "text")[seed % 2], CELLS[seed // 2 % len(CELLS)]
        hidden_size, num_layers = int(rng.integers(1, 97)), int(rng.integers(1, 4))
        gain = float(rng.uniform(0.25, _LARGEST_GAIN))
        name = f"{task}-{cell}, {num_layers} × {hidden_size}, gain {gain:.2f}"
        report(f"honest model {seed + 1} of {count}: {name}")
        trial = random_trial(task, cell, hidden_size, num_layers, seed, gain)
        yield _honest(name, trial.graph, *_judging(trial))


def _judging(trial: Trial) -> tuple[Answered, Audit]:
    """The answers that a trial's file is judged by, and the audit of its weights."""
    with torch_threads(trial.weights):
        exact = answered_by(trial.original.reference)
    return exact, partial(audit_onnx, expected=trial.original.constants)


def _row(
    name: str,
    file: bytes,
    exact: Answered,
    audit: Audit,
    runtime_type: type[OnnxRuntime] = OnnxRuntime,
) -> Row:
    """The validation row of one ONNX file; it fails if the file does not load."""
    try:
        runtime = runtime_type(file, "cpu")
    except Exception as error:  # the errors of ONNX Runtime have no common class
        return Row(
            model=name,
            format="ONNX",
            runtime="onnxruntime",
            provider="cpu",
            status="fail",
            reason=f"does not load: {' '.join(str(error).split())[:200]}",
        )
    return validation_row(name, runtime, exact, FLOAT32, audit(file))


def _judged(model: str, fault: str, row: Row) -> Outcome:
    status: Literal["caught", "missed"] = "caught" if row.status == "fail" else "missed"
    return Outcome(model=model, fault=fault, status=status, reason=row.reason)


def _honest(name: str, file: bytes, exact: Answered, audit: Audit) -> Outcome:
    row = _row(name, file, exact, audit)
    status: Literal["passed", "false alarm"] = "passed" if row.status == "pass" else "false alarm"
    return Outcome(model=name, fault="", status=status, reason=row.reason)
