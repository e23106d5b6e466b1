"""Tensors that ``forward`` keeps on the module or on a submodule, as attribute or buffer."""

import numbers
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pipeline.errors import MalformedError
from pipeline.export.example import is_tensor

# What torch itself keeps in a module; the flat weights of a layer are its parameters.
_TORCHS = {*vars(nn.Module()), "_flat_weights", "_flat_weight_refs", "_all_weights"}


class Absent:
    """The value of an attribute that is not there yet; a class, so that a copy is itself."""


@dataclass(frozen=True)
class Place:
    """An attribute ``key`` of the submodule ``module``; ``name`` is its qualified name."""

    module: str
    key: str

    @property
    def name(self) -> str:
        """As in ``encoder.hidden``."""
        return f"{self.module}.{self.key}" if self.module else self.key


@dataclass(frozen=True)
class Kept:
    """What ``forward`` changes, in the places where it does.

    ``initial`` are the values before the first call. ``settled`` are those after it, which have
    the structure that every later call finds. ``states`` are the leaves of ``settled`` that go on
    changing and are read, by place and number of the leaf.
    """

    initial: Mapping[Place, Any] = field(default_factory=dict)
    settled: Mapping[Place, Any] = field(default_factory=dict)
    states: tuple[tuple[Place, int], ...] = ()

    def reset(self, module: nn.Module) -> None:
        """Put the initial values back; floating ones in the type of the module's weights."""
        like = next((w.dtype for w in module.parameters() if w.is_floating_point()), None)
        for place, value in self.initial.items():
            put(module, place, _copied(value, torch.double if like is torch.double else None))

    @contextmanager
    def lifted(
        self, module: nn.Module, values: list[Tensor]
    ) -> Iterator[Callable[[], list[Tensor]]]:
        """Run ``forward`` of ``module`` from the states ``values`` inside of this block.

        Gives a function that reads the next states after it. At the end of the block, every place
        holds the very object again that it held before.
        """
        before = {place: get(module, place) for place in self.settled}
        given = dict(zip(self.states, values, strict=True))
        try:
            for place, value in self.settled.items():
                leaves, spec = pytree.tree_flatten(_copied(value))
                for number in range(len(leaves)):
                    if (state := given.get((place, number))) is not None:
                        leaves[number] = state.clone()  # which may be changed in place
                put(module, place, pytree.tree_unflatten(leaves, spec))
            yield lambda: [_leaf(module, place, number) for place, number in self.states]
        finally:
            for place, value in before.items():
                put(module, place, value)


def snapshot(module: nn.Module) -> dict[Place, Any]:
    """Copies of all that ``module`` and its submodules hold in attributes, buffers, parameters."""
    return {
        Place(name, key): _copied(value)
        for name, child in module.named_modules()
        for key, value in (
            *vars(child).items(),
            *child._buffers.items(),
            *child._parameters.items(),
        )
        if key not in _TORCHS
    }


def get(module: nn.Module, place: Place) -> Any:
    """The object in a place."""
    owner = module.get_submodule(place.module)
    for store in (owner._buffers, owner._parameters):
        if place.key in store:
            return store[place.key]
    return vars(owner).get(place.key, Absent)


def put(module: nn.Module, place: Place, value: Any) -> None:
    """Put an object into a place, without the checks of ``nn.Module``."""
    owner = module.get_submodule(place.module)
    stores: list[dict[str, Any]] = [owner._buffers, owner._parameters, vars(owner)]
    store = next((store for store in stores if place.key in store), vars(owner))
    if value is Absent:
        store.pop(place.key, None)
    else:
        store[place.key] = value


def same(some: Any, others: Any) -> bool:
    """Whether two values have the same structure, and equal leaves."""
    a, of_a = pytree.tree_flatten(some)
    b, of_b = pytree.tree_flatten(others)
    return of_a == of_b and all(map(_equal, a, b))


def _equal(a: Any, b: Any) -> bool:
    if is_tensor(a) and is_tensor(b):
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and bool(((a == b) | ((a != a) & (b != b))).all())
        )
    if isinstance(a, numbers.Number | str | None) and isinstance(b, numbers.Number | str | None):
        return type(a) is type(b) and a == b
    return a is b


def changing(first: Any, second: Any, third: Any) -> list[int]:
    """The leaves that are states, of the values before two calls, between, and after.

    A tensor is one if it changes at either call. A Python number is one if it changes at the second
    call too; a flag that is set once has settled.
    """
    begun, of_first = pytree.tree_flatten(first)
    settled, _ = pytree.tree_flatten(second)
    ended, _ = pytree.tree_flatten(third)
    known = of_first == pytree.tree_flatten(second)[1]
    return [
        number
        for number, (leaf, last) in enumerate(zip(settled, ended, strict=True))
        if isinstance(leaf, Tensor | bool | int | float)
        and not (
            _equal(leaf, last) and (not is_tensor(leaf) or (known and _equal(begun[number], leaf)))
        )
    ]


def as_tensor(leaf: Any) -> Tensor:
    """A leaf as a tensor; a Python number becomes one without axes."""
    return leaf.detach() if is_tensor(leaf) else torch.as_tensor(leaf)


def require_fixed_form(place: Place, second: Any, third: Any) -> None:
    """Refuse what grows from call to call.

    Raises:
        MalformedError: the structure or a shape differs after the second call.
    """
    a, of_a = pytree.tree_flatten(second)
    b, of_b = pytree.tree_flatten(third)
    if of_a != of_b or [getattr(x, "shape", 0) for x in a] != [getattr(x, "shape", 0) for x in b]:
        raise MalformedError(
            f"'{place.name}' grows with every call, which a state of a graph cannot; keep a tensor "
            "of one size, such as a ring buffer"
        )


def _leaf(module: nn.Module, place: Place, number: int) -> Tensor:
    return as_tensor(pytree.tree_leaves(get(module, place))[number])


def _copied(value: Any, double: torch.dtype | None = None) -> Any:
    """``value`` in new containers, with new tensors."""

    def copied(leaf: Any) -> Any:
        if not is_tensor(leaf):
            return leaf
        leaf = leaf.detach().clone()
        return leaf.to(double) if double and leaf.is_floating_point() else leaf

    return pytree.tree_map(copied, value)
