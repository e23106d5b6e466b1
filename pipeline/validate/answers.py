"""PyTorch's answers to the cases, and how far PyTorch itself is from the truth."""

from dataclasses import dataclass, replace

import numpy as np

from pipeline.contract.law import ILL_CONDITIONED, Exact, nudged, own_error
from pipeline.runtimes.base import Input, State
from pipeline.runtimes.pytorch import PyTorch, Twin
from pipeline.validate.cases import Case

_STREAMS = 32  # about so many say what PyTorch's own error is


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
        own = own_error(exact.output64, found[:1]), own_error(exact.state64, found[1:])
    own_output, own_state = (error if np.isfinite(error) else 0.0 for error in own)
    return replace(
        exact,
        own_output=max(own_output, exact.own_output),
        own_state=max(own_state, exact.own_state),
    )


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
        output, state = pytorch.run(again, nudged(case.state, copies, pytorch.eps))
        runs += zip(np.split(output, copies), np.split(state, copies), strict=True)
    outputs, states = zip(*runs, strict=True)
    return own_error(exact[0], outputs), own_error(exact[1], states)


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
        own_output=own_error(output64, [output32]),
        own_state=own_error(state64, [state32]),
        ill_conditioned=True,
        steps=(flat_input, flat_state),
    )
