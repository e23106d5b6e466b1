"""Python loops over time, rolled up into torch's scan where every step is the same.

A tracer runs a loop as often as the example has steps. Where the steps differ in nothing but what
they read of the sequence, the loop

    for x_t in x.unbind(1):
        h = cell(x_t, h)
        ys.append(h)

is compiled (``loop_source.py``) as a function of one step, ``h`` and ``x_t`` to ``h`` and what is
appended, that a scan calls. A loop that does more than that stays as it is. What comes out is held
against the author's own loop at other lengths, as everything is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from pipeline.export.control_flow.open_scan import contiguous, open_scan
from pipeline.export.control_flow.steps import Counting, Open, Steps, opened, same

Target = str | tuple[Any, ...]
Slices = Sequence[tuple[str, int]]
"""For each sequence that a step reads at a number: the name of the number, and the axis."""


class Unlike(Exception):  # noqa: N818
    """The steps of a loop are not all the same, or begin with what no scan can."""


@dataclass(frozen=True)
class Output:
    """Where a value of each step goes: ``append``, ``insert``, ``last``, or ``store`` at ``axis``.

    ``store`` is ``y[:, t] = value``, with the name of the number.
    """

    kind: str
    number: str = ""
    axis: int = 0


class Roll:
    """What compiled loops call while they run."""

    def __init__(self) -> None:
        self.rolled = 0  # how many loops became a scan

    def over(self, sequence: Any) -> Open | None:
        """The steps of a loop that an exporter would unroll, None of another."""
        return None if torch.compiler.is_dynamo_compiling() else opened(sequence)

    @staticmethod
    def own(value: Any) -> Any:
        """A state that a step changes at a place, which no scan lets it do to the one it gets."""
        return value.clone() if isinstance(value, Tensor) else value

    def scan(
        self,
        steps: Open,
        step: Callable[..., Any],
        begin: Callable[..., Any] | None,
        around: Callable[[], tuple[Any, Any, Any]],
        slices: Slices,
        outputs: Sequence[tuple[str, str, int]],
        target: Target,
        used: Sequence[str],
    ) -> tuple[Any, tuple[Any, ...]] | None:
        """The last state and the outputs of ``step`` over all ``steps``; None if it cannot be.

        ``around`` gives the state before the loop, the sequences of ``slices``, and what each
        output is added to. ``begin`` gives the state that the first step sets for itself.
        """
        try:
            state, sequences, before = around()
        except (NameError, AttributeError):  # what no step has set yet
            return None
        state = tuple(tuple(each) if isinstance(each, Steps) else each for each in state)
        try:
            xs = _inputs(steps, sequences, slices, target, used)
            wanted = [Output(*output) for output in outputs]
            numbers = _numbers(steps, target)
            for each, y in zip(wanted, before, strict=True):
                _check_store(each, y, numbers)
            state = _begun(state, step, begin, xs)
        except Unlike:
            return None
        self.rolled += 1
        leaves, form = pytree.tree_flatten(state)
        moving = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        # A scan has to have a state.
        first = tuple(leaves[k] for k in moving) or (pytree.tree_leaves(xs)[0].new_zeros(1),)

        def pure(carried: Any, x: Any) -> Any:
            given = list(leaves)
            for place, tensor in zip(moving, carried, strict=False):
                given[place] = tensor
            after, ys = step(pytree.tree_unflatten(given, form), *x)
            ends = pytree.tree_leaves(after)
            # A scan gives back no tensor twice, and none that it was given.
            state = tuple(ends[k] for k in moving) or carried
            return pytree.tree_map(contiguous, (state, ys))

        last, ys = open_scan(pure, first, xs)
        for place, tensor in zip(moving, last, strict=False):
            leaves[place] = tensor
        made = zip(wanted, before, ys, strict=True)
        found = tuple(_added(each, y, stacked, numbers) for each, y, stacked in made)
        return pytree.tree_unflatten(leaves, form), found

    def listed(
        self,
        sequence: Any,
        plain: Callable[[Any], list[Any]],
        step: Callable[..., Any],
        around: Callable[[], tuple[Any, ...]],
        slices: Slices,
        target: Target,
        used: Sequence[str],
    ) -> Any:
        """A list comprehension: what ``step`` gives for each of ``sequence``, else ``plain``."""
        steps = self.over(sequence)
        if steps is None:
            return plain(sequence)

        def stateless(state: Any, *x: Any) -> Any:
            return state, (step(*x),)

        done = self.scan(
            steps,
            stateless,
            None,
            lambda: ((), around(), ((),)),
            slices,
            [("append", "", 0)],
            target,
            used,
        )
        return plain(sequence) if done is None else done[1][0]


def _numbers(steps: Open, target: Target) -> dict[str, Counting]:
    """The names in ``target`` that count."""
    if isinstance(steps, Counting):
        return {target: steps} if isinstance(target, str) else {}
    if isinstance(steps, Steps) or len(steps.parts) != len(target) or isinstance(target, str):
        return {}
    found: dict[str, Counting] = {}
    for part, name in zip(steps.parts, target, strict=True):
        found |= _numbers(part, name)
    return found


def _inputs(
    steps: Open, sequences: Sequence[Any], slices: Slices, target: Target, used: Sequence[str]
) -> tuple[Any, tuple[Tensor, ...]]:
    """What the scan goes through: the items of the loop, and what is read at its numbers."""
    numbers, read = _numbers(steps, target), []
    for x, (name, axis) in zip(sequences, slices, strict=True):
        if isinstance(x, Steps) and axis == 0:
            x = x.stacked
        if name not in numbers or not isinstance(x, Tensor):
            raise Unlike
        read.append(numbers[name].of(x, axis))
    items = _items(steps, target, used)
    if not pytree.tree_leaves((items, read)):
        items = _items(steps, (), ())
    return items, tuple(read)


def _items(steps: Open, target: Target, used: Sequence[str]) -> Any:
    """The items of ``steps``; none of numbers that are not ``used``."""
    if isinstance(steps, Steps):
        return steps.stacked
    if isinstance(steps, Counting):
        return () if isinstance(target, str) and target not in used else steps.numbers()
    known = isinstance(target, tuple) and len(target) == len(steps.parts)
    names = target if known else [()] * len(steps.parts)
    return tuple(_items(part, name, used) for part, name in zip(steps.parts, names, strict=True))


def _begun(state: Any, step: Callable[..., Any], begin: Callable[..., Any] | None, xs: Any) -> Any:
    """``state`` as tensors: what the first step makes of None, or zeros, and numbers in full.

    The shapes are those after one step.
    """
    if all(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(state)):
        return state
    first = pytree.tree_map(lambda x: x[0], xs)
    if begin is not None and any(leaf is None for leaf in pytree.tree_leaves(state)):
        state = begin(pytree.tree_map(lambda leaf: leaf, state), *first)
        if all(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(state)):
            return state
    after, _ = step(pytree.tree_map(lambda leaf: leaf, state), *first)
    return _like(state, after)


def _like(state: Any, after: Any) -> Any:
    if isinstance(state, Tensor):
        return state
    if isinstance(after, Tensor) and (state is None or type(state) in (int, float, bool)):
        return after.new_full(after.shape, state or 0)
    if isinstance(state, list | tuple):
        if not isinstance(after, list | tuple) or len(after) != len(state):
            raise Unlike
        return type(state)([_like(a, b) for a, b in zip(state, after, strict=True)])
    if state is None and isinstance(after, list | tuple):
        return type(after)([_like(None, each) for each in after])
    if type(state) is type(after) and state == after:
        return state  # the same in every step
    raise Unlike


def _check_store(output: Output, y: Any, numbers: dict[str, Counting]) -> None:
    """What is stored at each number has to be all that ``y`` has."""
    if output.kind != "store":
        return
    if not isinstance(y, Tensor) or output.number not in numbers or output.axis >= y.dim():
        raise Unlike
    if not same(y.size(output.axis), numbers[output.number].count):
        raise Unlike


def _added(output: Output, before: Any, stacked: Any, numbers: dict[str, Counting]) -> Any:
    """What the loop has made of ``before``, with ``stacked`` values of its steps."""
    if output.kind == "last":
        return Steps(stacked)[-1]
    if output.kind == "store":
        made = numbers[output.number].in_order(stacked)
        made = made[(slice(None), *[None] * (before.dim() - made.dim()))]  # as it broadcasts
        made = made.movedim(0, output.axis)
        return made.expand(before.shape).to(before.dtype)
    steps = Steps(stacked)
    if output.kind == "insert":
        steps = steps.backwards()
    if not isinstance(before, Steps):
        if not len(before):
            return steps
        before = Steps(pytree.tree_map(lambda *ys: torch.stack(ys), *before))
    parts = (before, steps) if output.kind == "append" else (steps, before)
    return Steps(pytree.tree_map(lambda *ys: torch.cat(ys), *(part.stacked for part in parts)))
