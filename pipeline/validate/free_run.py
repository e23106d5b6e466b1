"""Free runs: a runtime is fed with its own outputs and compared with PyTorch, step by step.

A text is always continued with the likeliest character, so one wrong logit changes all that
follows. The errors of a forecast accumulate, so it may be as far off as the twin's forecast would
be if each number of its outputs and states were off by the tolerance. A runtime that rounds its
weights to less than float32 has an error of one sign, which accumulates further: such a difference
is shown in the record, and is no failure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config import SeriesModel, TextModel
from pipeline.contract.law import (
    EPS,
    ILL_CONDITIONED,
    Array,
    Exact,
    Precision,
    Tolerance,
    allowed,
    deviation,
    errors,
    nudged,
    own_error,
)
from pipeline.runtimes.base import Input, Runtime, State, step
from pipeline.runtimes.chain import free_run
from pipeline.validate.records import FreeRun
from pipeline.verify import Model, TaskReference

STEPS = 500
_READ = 100  # steps of the task that are read before the free run begins
_SEED = 20_240_302


def why_not_free(config: SeriesModel | TextModel) -> str:
    """The reason why the outputs of a model cannot be its next inputs; empty if they can."""
    if config.bidirectional and config.readout == "each":
        return "it has an output for each step that it reads, and forecasts nothing"
    if not config.forecasts_its_input:
        return "it reads columns that it does not forecast"
    return ""


@dataclass(frozen=True)
class FreeAnswer:
    """PyTorch's free run after ``given`` from ``state``, and how far off a runtime may be.

    ``made`` is the text or forecast of PyTorch's float32. ``exact`` is the twin's logits along that
    text ``[steps, vocabulary + 1]``, or the twin's own forecast ``[steps, targets]``. ``limits``
    has the same shape and says how far off a runtime may be. Only the first ``steps`` are compared:
    after them, PyTorch's float32 itself is too far off.
    """

    given: Input
    state: State
    vocabulary: str | None
    made: NDArray[Any]
    exact: Exact
    limits: Exact
    steps: int
    precision: Precision


def free_answer(
    reference: TaskReference, tolerance: Tolerance, precision: Precision = "float32"
) -> FreeAnswer | None:
    """PyTorch's free run after the beginning of the data of ``reference``.

    It is None if the model does not forecast its own input. The limits follow from ``tolerance``
    and from PyTorch's own errors in ``precision``, in which the runtime computes.
    """
    if why_not_free(reference.config):
        return None
    given, vocabulary = reference.given(1, _READ), reference.vocabulary
    state = reference.zero_state(1)
    made = free_run(reference.model, given, state, STEPS, vocabulary)

    def along(model: Model, start: State = state) -> NDArray[Any]:
        """The model's logits along PyTorch's text, or its own forecast."""
        if vocabulary is None:
            return free_run(model, given, start, STEPS, None)
        text = np.concatenate([given[0], made[:-1]])
        if reference.contract.states:
            return step(model, text[None], start)[0][0, _READ - 1 :]
        windows = np.lib.stride_tricks.sliding_window_view(text, _READ)
        return step(model, windows, reference.zero_state(STEPS))[0][:, -1]

    exact = along(reference.exact)

    def own_errors(model: Model, eps: float) -> Exact:
        """The largest error up to each step, in two runs of which one has a nudged state."""
        starts = state, nudged(state, eps=eps)
        runs = [along(model, start) for start in starts]
        largest: Exact = np.maximum.accumulate(
            [[own_error(values, [run[k] for run in runs])] for k, values in enumerate(exact)]
        )
        return largest

    own = own_errors(reference.model, EPS["float32"])
    steps = int((own <= ILL_CONDITIONED).sum())
    if precision != "float32":
        assert reference.lesser is not None
        lesser = reference.lesser(precision)[0]
        own = np.maximum(own, np.nan_to_num(own_errors(lesser.model, lesser.eps), posinf=0))
    limits = allowed(exact, own, tolerance)
    if vocabulary is None:
        for signs in (repeat(1.0), repeat(-1.0), random_signs()):
            strayed = along(OffBy(reference.exact, tolerance, signs))
            limits = np.maximum(limits, np.abs(strayed - exact))
    return FreeAnswer(given, state, vocabulary, made, exact, limits, steps, precision)


@dataclass(frozen=True)
class OffBy:
    """The twin with its results off by the tolerance, at each step in the direction of a sign."""

    twin: Model
    tolerance: Tolerance
    signs: Iterator[float]

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of the twin, with output and state off by the tolerance."""
        sign = next(self.signs)
        return [y + sign * allowed(y, 0.0, self.tolerance) for y in self.twin.call(inputs)]


def random_signs() -> Iterator[float]:
    """An endless random sequence of 1 and -1, seeded."""
    rng = np.random.default_rng(_SEED)
    while True:
        yield float(rng.choice([-1, 1]))


def compare_free_run(runtime: Runtime, answer: FreeAnswer) -> FreeRun:
    """Run ``runtime`` on its own outputs and record the first step that differs from PyTorch."""
    steps, vocabulary, limits = answer.steps, answer.vocabulary, answer.limits
    if steps == 0:
        note = f"PyTorch's own error is over {ILL_CONDITIONED:g} from the first step"
        return FreeRun(steps=0, first_difference=None, tie=False, note=note, passed=True)
    made = runtime.do(free_run, answer.given, answer.state, steps, vocabulary)
    if vocabulary is None:
        same = (errors(made, answer.exact[:steps]) <= limits[:steps]).all(axis=1)
    else:
        same = made == answer.made[:steps]
    if same.all():
        return FreeRun(steps=steps, first_difference=None, tie=False, note="", passed=True)
    first = int(same.argmin())
    tie = False
    if vocabulary is None:
        worst = deviation("forecast", made[first], answer.exact[first], limits[first])
        note = f"{worst.found:.7g}, not {worst.expected:.7g}"
        passed = answer.precision != "float32"
    else:
        pair = [chr(made[first]), chr(answer.made[first])]
        indices = [1 + vocabulary.index(character) for character in pair]
        gap = abs(float(np.diff(answer.exact[first, indices])[0]))
        limit = float(limits[first, indices].sum())
        passed = tie = gap <= limit
        note = f"{pair[0]!r} instead of {pair[1]!r}: logits {gap:.1e} apart, {limit:.1e} allowed"
    return FreeRun(steps=steps, first_difference=first, tie=tie, note=note, passed=passed)
