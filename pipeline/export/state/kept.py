"""Tensors that ``forward`` keeps on the module or on a submodule, as attribute or buffer."""

import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pipeline.errors import MalformedError
from pipeline.export.module.example import is_tensor

# What torch itself keeps in a module; the flat weights of a layer are its parameters.
_TORCHS = {*vars(nn.Module()), "_flat_weights", "_flat_weight_refs", "_all_weights"}
# Their objects hold no state of a network, and many other things.
_LIBRARIES = {"torch", "numpy", "builtins", "lightning", "pytorch_lightning", "torchmetrics"}


class Unset:
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
    """Copies of all that ``module`` and its submodules hold in attributes, buffers, parameters.

    The attributes of an object of a class of the user's are among them.
    """
    return {place: _copied(value) for place, value in _held(module)}


Mark = tuple[Any, int]  # an object, and how often it was changed in place


def marks(module: nn.Module) -> dict[Place, list[Mark]]:
    """Which objects the leaves of every place are, but for parameters."""
    return {
        place: [
            (leaf, leaf._version) if is_tensor(leaf) else (None, 0)
            for leaf in pytree.tree_leaves(value)
        ]
        for place, value in _held(module)
        if not isinstance(value, nn.Parameter)
    }


def written(some: list[Mark], others: list[Mark]) -> list[int]:
    """The leaves that are another object in ``others``, or were changed in place."""
    pairs = enumerate(zip(some, others, strict=False))
    return [k for k, (a, b) in pairs if a[0] is not b[0] or a[1] != b[1]]


def _held(module: nn.Module) -> Iterator[tuple[Place, Any]]:
    for name, child in module.named_modules():
        for store in (vars(child), child._buffers, child._parameters):
            for key, value in store.items():
                if key not in _TORCHS:
                    yield Place(name, key), value
                    if _is_plain_object(value):
                        for part, held in vars(value).items():
                            yield Place(name, f"{key}.{part}"), held


def get(module: nn.Module, place: Place) -> Any:
    """The object in a place."""
    store, key = _stored(module, place)
    return store.get(key, Unset)


def put(module: nn.Module, place: Place, value: Any) -> None:
    """Put an object into a place, without the checks of ``nn.Module``."""
    store, key = _stored(module, place)
    if value is Unset:
        store.pop(key, None)
    else:
        store[key] = value


def _stored(module: nn.Module, place: Place) -> tuple[dict[str, Any], str]:
    """The dictionary that a place is in, and its key there."""
    owner = module.get_submodule(place.module)
    first, _, part = place.key.partition(".")
    if part:  # of an object, which may not be there at first
        return getattr(get(module, Place(place.module, first)), "__dict__", {}), part
    stores: list[dict[str, Any]] = [owner._buffers, owner._parameters, vars(owner)]
    return next((store for store in stores if first in store), vars(owner)), first


def _is_plain_object(value: Any) -> bool:
    """Whether ``value`` is an object with attributes that no library has made for itself."""
    kind = type(value)
    return (
        hasattr(value, "__dict__")
        and not isinstance(value, nn.Module | Tensor | type)
        and not callable(value)
        and kind.__module__.partition(".")[0] not in _LIBRARIES
        and not hasattr(value, "_fields")
        and not isinstance(value, Mapping | list | tuple)
    )


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


def changing(first: Any, second: Any, third: Any, written: Sequence[int]) -> list[int]:
    """The leaves that are states, of the values before two calls, between, and after.

    A tensor is one if it changes at either call, or is ``written`` at the second. A Python number
    is one if it changes at the second call. What the first call makes, and the second leaves as it
    is, has settled.
    """
    begun, of_first = pytree.tree_flatten(first)
    settled, of_second = pytree.tree_flatten(second)
    ended, known = pytree.tree_leaves(third), of_first == of_second
    found = []
    for number, (leaf, last) in enumerate(zip(settled, ended, strict=True)):
        changes = not _equal(leaf, last)
        if is_tensor(leaf):
            begins = known and is_tensor(begun[number]) and not _equal(begun[number], leaf)
            changes = changes or number in written or begins
        if changes and isinstance(leaf, Tensor | bool | int | float):
            found.append(number)
    return found


def other_than(value: Any) -> Any:
    """``value`` with other numbers in its tensors."""

    def other(leaf: Any) -> Any:
        if not is_tensor(leaf):
            return leaf
        return ~leaf if leaf.dtype is torch.bool else leaf.detach() + 1

    return pytree.tree_map(other, value)


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
