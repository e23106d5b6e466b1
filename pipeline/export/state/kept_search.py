"""Which attributes and buffers are states: what differs after a call, and is read by the next."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import islice, product
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pipeline.contract.law import judged
from pipeline.errors import MalformedError
from pipeline.export.module.example import is_tensor
from pipeline.export.module.refusals import hidden_in_torchscript, kept_in_torchscript
from pipeline.export.state.arguments import NamedArguments, run, tensors_of
from pipeline.export.state.kept import (
    Kept,
    Place,
    Unset,
    as_tensor,
    changing,
    marks,
    other_than,
    require_fixed_form,
    same,
    snapshot,
    written,
)
from pipeline.export.state.pure import Pure

_TRIALS = 64  # combinations of initial values that are tried


class KeptSearch:
    """Two calls of ``body``, and what it kept before, between and after them.

    The first call has the inputs of the ``example``, and the second the first of those that were
    ``drawn``, if the module takes them. By all of them it is asked what a call reads. ``name`` is
    the class of the user's module.

    Raises:
        MalformedError: the module draws random numbers, or keeps what grows from call to call.
    """

    def __init__(
        self,
        body: nn.Module,
        arguments: NamedArguments,
        example: Sequence[Tensor],
        drawn: Sequence[Sequence[Tensor]],
        name: str,
    ) -> None:
        self.body, self.arguments, self.name = body, arguments, name
        self.first = snapshot(body)
        args, kwargs = arguments.with_tensors(example)
        self.results = run(body, args, kwargs, name)
        self.one = [tensor.clone() for tensor in tensors_of(self.results, name)]
        self.second, before = snapshot(body), marks(body)
        self._example, self._drawn = example, [*drawn]
        try:
            self._call(drawn[0])
        except MalformedError:  # numbers that the module does not take
            self._drawn = [example]
            self._rewind(self.second)
            before = marks(body)
            self._call(example)
        self.third, after = snapshot(body), marks(body)
        self._written = {p: written(before.get(p, []), its) for p, its in after.items()}
        self.changed = [
            place
            for place in {**self.first, **self.second, **self.third}
            if not self._same(place, self.first, self.second)
            or not self._same(place, self.second, self.third)
            or self._written.get(place)
        ]
        self._require_a_function()

    def initial(self) -> Kept:
        """What the first call found, to be found by every call."""
        before = self._of(self.first)
        return Kept(initial=before, settled=before)

    def found(self) -> tuple[Kept, list[Tensor]]:
        """The states, and their initial values, at the batch of the example."""
        settled, states = {}, []
        for place in self.changed:
            one, two, three = (s.get(place, Unset) for s in (self.first, self.second, self.third))
            if not self._is_read(place):
                settled[place] = one
                continue
            require_fixed_form(place, two, three)
            settled[place] = two
            states += [
                (place, number)
                for number in changing(one, two, three, self._written.get(place, []))
            ]
        kept = Kept(self._of(self.first), settled, tuple(states))
        kept.reset(self.body)
        return kept, self._initial_values(kept)

    def _initial_values(self, kept: Kept) -> list[Tensor]:
        """The first initial values with which the pure module does what the first call did."""
        pure = Pure(self.body, self.arguments, kept)
        ends = [self._leaf(self.second, *state) for state in kept.states]
        candidates = [list(self._candidates(*state)) for state in kept.states]
        for values in islice(product(*candidates), _TRIALS):
            try:
                results = run(pure, [*self._example, *values], {}, self.name)
            except MalformedError:
                continue
            if close(results, [*self.one, *ends]):
                return list(values)
        names = " and ".join(f"'{name}'" for name in dict.fromkeys(p.name for p, _ in kept.states))
        raise MalformedError(
            f"{self.name} keeps {names}, whose value before the first call is not to be found; "
            "make it in __init__, as a buffer"
        )

    def _candidates(self, place: Place, number: int) -> Iterator[Tensor]:
        """Initial values, at the shape that the state has after a call, the likeliest first."""
        end = self._leaf(self.second, place, number)
        before, spec = pytree.tree_flatten(self.first.get(place, Unset))
        if spec == pytree.tree_flatten(self.second[place])[1] and isinstance(
            before[number], Tensor | bool | int | float
        ):
            start = as_tensor(before[number])
            if (wide := _expanded(start, end)) is not None:
                yield wide
            return
        yield torch.zeros_like(end)
        owner = self.body.get_submodule(place.module)
        assigned = self._assigned.get(place)
        leaves = pytree.tree_leaves(assigned)
        for value in (
            *leaves[number : number + 1],
            torch.ones_like(end),
            *owner.parameters(recurse=False),
            *owner.buffers(recurse=False),
        ):
            if is_tensor(value) and (wide := _expanded(value.detach(), end)) is not None:
                yield wide

    @cached_property
    def _assigned(self) -> dict[Place, Any]:
        """What ``forward`` assigns first to each place in the first call."""
        noted: dict[Place, Any] = {}
        with _assignments(self.body, noted):
            self._call(self._example)
        Kept(self._of(self.first)).reset(self.body)
        return noted

    def _require_a_function(self) -> None:
        """Refuse what gives other numbers for the same inputs from the same state."""
        Kept(self._of(self.first)).reset(self.body)
        if not close(self._call(self._example), self.one):
            reason = (
                "it draws random numbers, or remembers in other things than tensors, lists and "
                "dictionaries; a graph is a function of its inputs, so take them as inputs"
            )
            if hidden := kept_in_torchscript(self.body):
                reason = hidden_in_torchscript(hidden)
            raise MalformedError(
                f"{self.name} gives other numbers when it is called again, since {reason}"
            )
        Kept(self._of(self.first)).reset(self.body)

    def _is_read(self, place: Place) -> bool:
        """Whether a second call depends on what the first one left in ``place``."""
        other = self.first.get(place, Unset)
        if self._same(place, self.first, self.second):  # the first call left nothing to tell by
            other = other_than(other)
        grows = isinstance(self.third.get(place), list)
        others = [each for each in self.changed if each != place or not grows]
        for inputs, results, after in self._second_calls:
            Kept(self._of(self.second)).reset(self.body)
            Kept({place: other}).reset(self.body)
            try:
                found, then = self._call(inputs), snapshot(self.body)
            except MalformedError:
                return True
            same = all(map(torch.equal, found, results))
            if not same or not all(self._same(each, then, after) for each in others):
                return True
        return False

    @cached_property
    def _second_calls(self) -> list[tuple[Sequence[Tensor], list[Tensor], dict[Place, Any]]]:
        """Inputs, results, and what is kept then, of several calls that follow the first."""
        calls = []
        for inputs in self._drawn:
            Kept(self._of(self.second)).reset(self.body)
            with suppress(MalformedError):  # at a size that the module does not take
                calls.append((inputs, self._call(inputs), snapshot(self.body)))
        return calls

    def _rewind(self, shot: Mapping[Place, Any]) -> None:
        """Put back all that has changed since ``shot``."""
        now = snapshot(self.body)
        changed = [place for place in {**shot, **now} if not self._same(place, shot, now)]
        Kept({place: shot.get(place, Unset) for place in changed}).reset(self.body)

    def _call(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        args, kwargs = self.arguments.with_tensors(inputs)
        results = run(self.body, args, kwargs, self.name)
        return [tensor.clone() for tensor in tensors_of(results, self.name)]

    def _of(self, shot: Mapping[Place, Any]) -> dict[Place, Any]:
        return {place: shot.get(place, Unset) for place in self.changed}

    @staticmethod
    def _same(place: Place, some: Mapping[Place, Any], others: Mapping[Place, Any]) -> bool:
        return same(some.get(place, Unset), others.get(place, Unset))

    @staticmethod
    def _leaf(shot: Mapping[Place, Any], place: Place, number: int) -> Tensor:
        return as_tensor(pytree.tree_leaves(shot[place])[number])


def close(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether tensors are equal by the law."""
    return len(some) == len(others) and all(
        a.shape == b.shape and judged("", _array(a), _array(b), []).within
        for a, b in zip(some, others, strict=True)
    )


def _array(tensor: Tensor) -> Any:
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()


def _expanded(value: Tensor, like: Tensor) -> Tensor | None:
    """``value`` at the type and shape of ``like``; None if it does not broadcast to it."""
    try:
        return value.to(like.dtype).expand(like.shape).clone()
    except RuntimeError:
        return None


@contextmanager
def _assignments(body: nn.Module, noted: dict[Place, Any]) -> Iterator[None]:
    """Note the first value that is assigned to each attribute inside of this block."""
    classes = {child: type(child) for child in body.modules()}
    names = {child: name for name, child in body.named_modules()}

    def watched(kind: type[nn.Module]) -> type[nn.Module]:
        def set_and_note(self: nn.Module, key: str, value: Any) -> None:
            kept = pytree.tree_map(lambda leaf: leaf.clone() if is_tensor(leaf) else leaf, value)
            noted.setdefault(Place(names[self], key), kept)
            kind.__setattr__(self, key, value)

        return type(kind.__name__, (kind,), {"__setattr__": set_and_note})

    try:
        for child, kind in classes.items():
            if not isinstance(child, torch.jit.ScriptModule):
                child.__class__ = watched(kind)
        yield
    finally:
        for child, kind in classes.items():
            child.__class__ = kind
