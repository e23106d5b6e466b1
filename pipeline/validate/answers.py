"""PyTorch's answers to the cases, and how far PyTorch itself is from the truth."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from pipeline.contract.law import ILL_CONDITIONED, OWN_ERRORS, Tolerance
from pipeline.runtimes.base import Exact, Input, State
from pipeline.runtimes.pytorch import PyTorch, Twin
from pipeline.validate.cases import Case

_STREAMS = 32  # about so many say what PyTorch's own error is
_SEED = 20_240_301


@dataclass(frozen=True)
class Answer:
    """What PyTorch says to a case, in float32 and in float64, over the whole sequence at once.

    ``own_output`` and ``own_state`` are the largest errors of PyTorch's own float32.

    An ill-conditioned case is compared step by step instead: ``steps`` then holds the input and
    the state of each step, every step as a stream of its own, and the results are theirs. Whole
    sequences have no steps to compare: there PyTorch's own error is all that is allowed.
    """

    output32: State
    state32: State
    output64: Exact
    state64: Exact
    own_output: float
    own_state: float
    ill_conditioned: bool = False
    steps: tuple[Input, State] | None = None


def answer(case: Case, pytorch: PyTorch, twin: Twin) -> Answer:
    """PyTorch's answers to ``case``, and its own errors."""
    output32, state32 = whole = pytorch.run(case.input, case.state)
    output64, state64 = exact = twin.run(case.input, case.state)
    own_output, own_state = _own_errors(case, pytorch, whole, exact)
    ill = max(own_output, own_state) > ILL_CONDITIONED
    if not ill or not pytorch.network.signature.streams:
        return Answer(output32, state32, output64, state64, own_output, own_state, ill)
    return _answer_step_by_step(case, pytorch, twin)


def with_errors_of(lesser: PyTorch, case: Case, exact: Answer) -> Answer:
    """``exact``, with the errors that PyTorch makes in the precision of ``lesser``.

    By these a runtime is judged that computes in it. Errors that are not finite allow nothing.
    """
    if exact.steps is None:
        whole = lesser.run(case.input, case.state)
        own = _own_errors(case, lesser, whole, (exact.output64, exact.state64))
    else:
        found = lesser.run(*exact.steps)
        own = _distance(found[0], exact.output64), _distance(found[1], exact.state64)
    own_output, own_state = (error if np.isfinite(error) else 0.0 for error in own)
    return replace(
        exact,
        own_output=max(own_output, exact.own_output),
        own_state=max(own_state, exact.own_state),
    )


def allowed(y64: Exact, own: float | Exact, tolerance: Tolerance) -> Exact:
    """How far each number of a runtime may be from ``y64``, of the shape of ``y64``.

    ``own`` is the error of PyTorch itself.
    """
    given = tolerance.atol + tolerance.rtol * np.abs(y64)
    larger: Exact = np.maximum(given, OWN_ERRORS * own)
    return larger


def nudged(state: State, pytorch: PyTorch, copies: int = 1) -> State:
    """``copies`` of ``state`` along the batch, each off as ``pytorch`` rounds a number near one."""
    repeated = np.tile(state, (copies, 1, 1))
    sign = np.random.default_rng(_SEED).choice([-1, 1], repeated.shape)
    return (repeated + torch.finfo(pytorch.dtype).eps * sign).astype(np.float32)


def _own_errors(
    case: Case, pytorch: PyTorch, whole: tuple[State, State], exact: tuple[Exact, Exact]
) -> tuple[float, float]:
    """The largest errors of PyTorch itself, of output and of state, in any of many runs.

    ``whole`` is its run of the case as it is, ``exact`` the twin's. In a network that amplifies
    rounding, one stream can come close to the truth by luck. So few streams are also run from many
    states that are nudged; over a stream that is long enough to be followed, luck does not last.
    """
    runs = [whole]
    copies = _STREAMS // len(case.state) - 1
    if copies > 0 and not case.followed:
        again = np.concatenate([case.input] * copies)
        output, state = pytorch.run(again, nudged(case.state, pytorch, copies))
        runs += zip(np.split(output, copies), np.split(state, copies), strict=True)
    own_output = max(_distance(output, exact[0]) for output, _ in runs)
    return own_output, max(_distance(state, exact[1]) for _, state in runs)


def _distance(found: State, exact: Exact) -> float:
    return float(np.abs(found - exact).max(initial=0.0))  # there may be no state


def _answer_step_by_step(case: Case, pytorch: PyTorch, twin: Twin) -> Answer:
    batch, time = case.input.shape[:2]
    states = [case.state]
    for step in range(time - 1):
        states.append(pytorch.run(case.input[:, step : step + 1], states[-1])[1])
    flat_input = case.input.reshape(batch * time, 1, *case.input.shape[2:])
    flat_state = np.stack(states, axis=1).reshape(batch * time, *case.state.shape[1:])
    output32, state32 = pytorch.run(flat_input, flat_state)
    output64, state64 = twin.run(flat_input, flat_state)
    return Answer(
        output32,
        state32,
        output64,
        state64,
        own_output=_distance(output32, output64),
        own_state=_distance(state32, state64),
        ill_conditioned=True,
        steps=(flat_input, flat_state),
    )
