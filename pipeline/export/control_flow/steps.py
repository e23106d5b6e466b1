"""Sequences whose length a graph leaves open, and Python's and PyTorch's functions that give them.

``x.unbind(1)`` of an open axis, ``range(x.size(1))``, and what ``enumerate``, ``zip`` and
``reversed`` make of them are not taken apart: they stay one tensor, or one count, which a scan goes
through. Whoever else iterates over them freezes the axis, as without this.
"""

import builtins
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import SymInt, Tensor
from torch.utils import _pytree as pytree


class Steps:
    """One value for each step, as one tensor ``[time, …]`` or as a tree of such tensors."""

    def __init__(self, stacked: Any) -> None:
        self.stacked = stacked

    @property
    def count(self) -> Any:
        """The number of steps."""
        size: Any = pytree.tree_leaves(self.stacked)[0].size(0)
        return size

    def backwards(self) -> "Steps":
        """The last step first."""
        return Steps(pytree.tree_map(lambda y: y.flip(0), self.stacked))

    def __getitem__(self, place: Any) -> Any:
        if not isinstance(place, slice):
            return pytree.tree_map(lambda y: y[place], self.stacked)
        steps = self.backwards() if place.step == -1 else self
        whole = place.start is None and place.stop is None
        if place.step == -1 and whole:
            return steps
        return Steps(pytree.tree_map(lambda y: y[place], self.stacked))

    def __len__(self) -> int:
        return int(self.count)

    def __iter__(self) -> Iterator[Any]:
        return iter([self[place] for place in range(len(self))])


class Counting:
    """``range(count)``, or the same from its end."""

    def __init__(self, count: Any, is_backwards: bool = False) -> None:
        self.count, self._is_backwards = count, is_backwards

    def backwards(self) -> "Counting":
        """The last number first."""
        return Counting(self.count, not self._is_backwards)

    def numbers(self) -> Tensor:
        """The numbers as a tensor."""
        return self.of(torch.arange(self.count), 0)

    def of(self, x: Tensor, axis: int) -> Tensor:
        """What ``x`` has along ``axis`` at each number, ``[time, …]``."""
        x = x.movedim(axis, 0)
        if torch._C._get_tracing_state() is not None or not same(x.size(0), self.count):
            x = x[: self.count]
        return x.flip(0) if self._is_backwards else x

    def in_order(self, made: Tensor) -> Tensor:
        """What was ``made`` at each number, from number 0 on."""
        return made.flip(0) if self._is_backwards else made

    def __len__(self) -> int:
        return int(self.count)

    def __getitem__(self, place: Any) -> Any:
        return self._range()[place]

    def __iter__(self) -> Iterator[int]:
        return iter(self._range())

    def _range(self) -> range:
        plain = range(self.count)
        return plain[::-1] if self._is_backwards else plain


class Together:
    """Several sequences, step by step, as ``zip`` has them."""

    def __init__(self, parts: Sequence["Open"]) -> None:
        self.parts = tuple(parts)

    @property
    def count(self) -> Any:
        """The number of steps."""
        return self.parts[0].count

    def backwards(self) -> "Together":
        """The last step first."""
        return Together([part.backwards() for part in self.parts])

    def __len__(self) -> int:
        return int(self.count)

    def __iter__(self) -> Iterator[Any]:
        return zip(*self.parts, strict=False)


Open = Steps | Counting | Together
KINDS = (Steps, Counting, Together)


def is_open(size: object) -> bool:
    """Whether a graph leaves ``size`` open; while ``torch.jit.trace`` runs, any that it follows."""
    if isinstance(size, Tensor):
        return torch._C._get_tracing_state() is not None and size.dim() == 0
    return isinstance(size, SymInt) and not size.node.expr.is_number


def same(size: Any, other: Any) -> bool:
    """Whether two sizes are the same, as far as it is known without freezing either."""
    if isinstance(size, SymInt) and isinstance(other, SymInt):
        return bool(size.node.expr == other.node.expr)
    if isinstance(size, SymInt) or isinstance(other, SymInt):
        return False
    return int(size) == int(other)


def opened(sequence: object) -> Open | None:
    """``sequence`` as one that is not taken apart, None where its length is known."""
    if isinstance(sequence, KINDS):
        return sequence
    if isinstance(sequence, Tensor) and sequence.dim() and is_open(sequence.size(0)):
        return Steps(sequence)
    return None


def _unbind(tensor: Tensor, dim: int = 0) -> Any:
    if tensor.dim() and is_open(tensor.size(dim)):
        return Steps(tensor.movedim(dim, 0))
    return torch.unbind(tensor, dim)


def _pieces_of_one(tensor: Tensor, dim: int) -> Steps:
    """``tensor`` in pieces of one step each, which keep the axis ``dim``."""
    dim = dim % tensor.dim()
    return Steps(tensor.unsqueeze(dim + 1).movedim(dim, 0))


def _split(tensor: Tensor, split_size: Any = None, dim: int = 0, **named: Any) -> Any:
    size = named.get("split_size_or_sections", split_size)
    if type(size) is int and size == 1 and is_open(tensor.size(dim)):
        return _pieces_of_one(tensor, dim)
    return torch.split(tensor, size, dim)


def _chunk(tensor: Tensor, chunks: Any, dim: int = 0) -> Any:
    if is_open(chunks) and same(chunks, tensor.size(dim)):
        return _pieces_of_one(tensor, dim)
    return torch.chunk(tensor, chunks, dim)


def _range(*args: Any) -> Any:
    start, stop, step = (0, *args, 1) if len(args) == 1 else (*args, 1)[:3]
    if type(start) is int and (start, step) == (0, 1) and is_open(stop):
        return Counting(stop)
    if type(stop) is int and (stop, step) == (-1, -1) and is_open(start):
        return Counting(start + 1, is_backwards=True)
    return range(*args)


def _enumerate(sequence: Any, start: int = 0) -> Any:
    found = opened(sequence) if start == 0 else None
    if found is None:
        return enumerate(sequence, start)
    return Together([Counting(found.count), found])


def _zip(*sequences: Any, **options: Any) -> Any:
    found = [opened(sequence) for sequence in sequences]
    parts = [part for part in found if part is not None]
    alike = parts and len(parts) == len(found)
    if alike and all(same(part.count, parts[0].count) for part in parts):
        return Together(parts)
    return zip(*sequences, strict=options.get("strict", False))


def _reversed(sequence: Any) -> Any:
    return sequence.backwards() if isinstance(sequence, KINDS) else reversed(sequence)


def _listed(plain: Callable[..., Any]) -> Callable[..., Any]:
    """``list`` or ``tuple``, which leave open sequences as they are."""
    return lambda *args: args[0] if args and isinstance(args[0], KINDS) else plain(*args)


def _stack(tensors: Any, dim: int = 0, **options: Any) -> Tensor:
    if isinstance(tensors, Steps) and isinstance(tensors.stacked, Tensor):
        return tensors.stacked.movedim(0, dim)
    return torch.stack(tensors, dim, **options)


def _cat(tensors: Any, dim: int = 0, **options: Any) -> Tensor:
    if isinstance(tensors, Steps) and isinstance(tensors.stacked, Tensor):
        y = tensors.stacked
        dim = dim % (y.dim() - 1)
        return y.movedim(0, dim).flatten(dim, dim + 1)
    return torch.cat(tensors, dim, **options)


OPENING: Mapping[Any, Callable[..., Any]] = {
    Tensor.unbind: _unbind,
    torch.unbind: _unbind,
    Tensor.split: _split,
    torch.split: _split,
    Tensor.chunk: _chunk,
    torch.chunk: _chunk,
    torch.stack: _stack,
    torch.cat: _cat,
    builtins.range: _range,
    builtins.enumerate: _enumerate,
    builtins.zip: _zip,
    builtins.reversed: _reversed,
    builtins.list: _listed(list),
    builtins.tuple: _listed(tuple),
}
"""Functions that leave a sequence of open length whole, in place of those that take it apart."""
