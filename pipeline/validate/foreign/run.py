"""The comparison of two model files by chained calls at several sizes, call by call.

The first file is the reference. If it is TorchScript that also runs in float64, the law of bundles
applies, with its own error. Otherwise the tolerance alone applies, around the reference's numbers.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.contract.law import FLOAT32
from pipeline.contract.tensors import TensorSpec
from pipeline.errors import UnavailableError
from pipeline.network_tensors import BATCH, TIME
from pipeline.runtimes.catalog import require
from pipeline.storage import sha256
from pipeline.threads import torch_threads, weights_in
from pipeline.validate.current import machine, validation_versions
from pipeline.validate.foreign.comparison import Comparison
from pipeline.validate.foreign.inputs import INTEGERS
from pipeline.validate.foreign.model import Array, ForeignModel, OnnxModel, TorchScriptModel
from pipeline.validate.foreign.pair import PairChoices, Plan, make_plan
from pipeline.validate.foreign.state import first_like
from pipeline.validate.judge import failures, finished
from pipeline.validate.records import Row, Validation
from pipeline.verify import Case

SIZES = (1, 2, 3, 7, 50)
CALLS = 5
_SHIFTS = (0, 1, 3)  # how far apart in SIZES neighbouring axes are
_SEED = 20_240_229

_KINDS: dict[str, type[OnnxModel] | type[TorchScriptModel]] = {
    kind.format: kind for kind in (OnnxModel, TorchScriptModel)
}


@dataclass(frozen=True)
class ForeignFile:
    """A file and the format that it was given as."""

    format: str
    path: Path

    def open(self, provider: str = "cpu") -> ForeignModel:
        """Open the file in its runtime.

        Raises:
            MalformedError: the file does not have that format.
            UnavailableError: the provider cannot be started.
        """
        return _KINDS[self.format](self.path, provider)


def validate_pair(
    first: ForeignFile, second: ForeignFile, providers: tuple[str, ...], choices: PairChoices
) -> Validation:
    """Compare the second file, on every provider, with the first on the CPU.

    Raises:
        MalformedError: a file is malformed, or the tensors of the two do not correspond.
        UsageError: ``choices`` do not fit the files.
    """
    reference = first.open()
    other = second.open()
    plan = make_plan(reference, other, choices)
    label = f"{first.path.name} → {second.path.name}"
    with torch_threads(weights_in(reference.data)):
        rows = tuple(_row(label, reference, second, provider, plan) for provider in providers)
    return Validation(
        model=label,
        bundle_sha256=sha256(reference.data + other.data),
        runtimes=(),
        providers=providers,
        tolerance=FLOAT32,
        versions=validation_versions(),
        machine=machine(),
        rows=rows,
    )


def _row(label: str, reference: ForeignModel, file: ForeignFile, provider: str, plan: Plan) -> Row:
    row = Row(
        model=label,
        format=file.format,
        runtime=_KINDS[file.format].runtime,
        provider=provider,
        status="not run",
    )
    try:
        require((provider,))
        other = file.open(provider)
    except UnavailableError as error:
        return row.model_copy(update={"reason": str(error)})
    started = time.monotonic()
    comparison = Comparison(reference, other, plan)
    for case in _cases(plan):
        comparison.run(case)
    trouble = [*comparison.finish(), *failures(comparison.records)]
    notes, placement = comparison.notes(), comparison.placement
    return finished(row, comparison.records, trouble, notes, placement, FLOAT32, started)


def _cases(plan: Plan) -> Iterator[Case]:
    """Every dynamic axis through all sizes, together and apart, from zeros and random states."""
    count = len(SIZES)
    several = [
        tuple(SIZES[(start + shift * place) % count] for place in range(len(plan.symbols)))
        for shift in _SHIFTS
        for start in range(count)
    ]
    states = [before for before, _ in plan.contract.states]
    for chosen in dict.fromkeys(several):
        sizes = dict(zip(plan.symbols, chosen, strict=True))
        shown = " ".join(f"{axis}={size}" for axis, size in sizes.items())
        batch, steps = (sizes.get(first_like(kind, sizes) or "", 1) for kind in (BATCH, TIME))
        for start in ("chained calls", "random state"):
            rng = np.random.default_rng(_SEED)
            drawn = [
                {item.name: _filled(item, sizes, plan, rng) for item in plan.contract.inputs}
                for _ in range(CALLS)
            ]
            state = {name: drawn[0][name] for name in states}
            calls = [{name: y for name, y in call.items() if name not in state} for call in drawn]
            free = [name for name in states if name not in plan.values]
            if start == "chained calls":
                state |= {name: np.zeros_like(state[name]) for name in free}
            elif not free:
                continue  # it starts from nothing else
            name = f"{start}, {shown}" if shown else start
            yield Case(name, tuple(calls), state, batch=batch, time=steps)


def _filled(item: TensorSpec, sizes: dict[str, int], plan: Plan, rng: np.random.Generator) -> Array:
    """A random input of its declared type: normal floats, small integers, or as told."""
    shape = [axis if isinstance(axis, int) else sizes[axis] for axis in item.shape]
    kind = np.dtype(item.type)
    if item.name in plan.values:
        return np.asarray(plan.values[item.name].fill(shape, rng, sizes)).astype(kind)
    if kind.kind == "f":
        return np.asarray(rng.normal(size=shape)).astype(kind)
    return np.asarray(rng.integers(0, 2 if kind.kind == "b" else INTEGERS, shape)).astype(kind)
