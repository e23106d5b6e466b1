"""The submodule whose numbers depend on where a sequence or a batch is cut."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pipeline.export.module.example import is_tensor

# As parts of the largest number; what depends on the cut is usually off by far more.
_CLOSE = {torch.float64: 1e-8}
_CLOSE_IN_FEWER_BITS = 1e-4


class CallLog:
    """What goes into and comes out of every call of a submodule of ``root``, as the calls end."""

    def __init__(self, root: nn.Module) -> None:
        self._names = {module: name for name, module in root.named_modules()}
        self.calls: dict[tuple[str, int], tuple[list[Tensor], list[Tensor]]] = {}
        self._running: list[tuple[nn.Module, list[Tensor]]] = []

    @property
    def running(self) -> str:
        """The innermost submodule that has begun and not ended."""
        return self._names[self._running[-1][0]] if self._running else ""

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Record the calls inside of this block."""
        handles = []
        for module in self._names:
            handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
            handles.append(module.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if torch.compiler.is_dynamo_compiling():  # a step of scan, which is one operator
            return
        self._running.append((module, _tensors((args, kwargs))))

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if torch.compiler.is_dynamo_compiling():
            return
        _, inputs = self._running.pop()
        name = self._names[module]
        number = sum(other == name for other, _ in self.calls)
        self.calls[name, number] = inputs, _tensors(output)


def first_to_differ(whole: CallLog, pieces: Sequence[CallLog]) -> str | None:
    """The submodule that first gives other numbers in pieces, though it is given the same.

    A tensor of a whole call is held against those of the pieces, joined along the axis on which
    their sizes add up; one that has no such axis against that of the last piece, or, if it goes in,
    of the first. None if there is no such submodule.
    """
    for key, (inputs, outputs) in whole.calls.items():
        parts = [piece.calls.get(key) for piece in pieces]
        if any(part is None for part in parts):
            continue
        given = [part[0] for part in parts if part]
        found = [part[1] for part in parts if part]
        if _same(inputs, given, 0) and not _same(outputs, found, -1):
            return key[0]
    return None


def _same(whole: list[Tensor], pieces: list[list[Tensor]], alone: int) -> bool:
    if any(len(piece) != len(whole) for piece in pieces):
        return False
    for place, tensor in enumerate(whole):
        joined = _joined(tensor, [piece[place] for piece in pieces], alone)
        if joined is None or not _close(tensor, joined):
            return False
    return True


def _joined(whole: Tensor, parts: list[Tensor], alone: int) -> Tensor | None:
    for axis in range(whole.dim()):
        others = [part.shape[:axis] + part.shape[axis + 1 :] for part in parts]
        if {whole.shape[:axis] + whole.shape[axis + 1 :]} == set(others) and whole.size(
            axis
        ) == sum(part.size(axis) for part in parts):
            return torch.cat(parts, axis)
    return parts[alone] if parts[alone].shape == whole.shape else None


def _close(a: Tensor, b: Tensor) -> bool:
    if not a.is_floating_point():
        return torch.equal(a, b)
    largest = float(a.abs().max()) if a.numel() else 0.0
    part = _CLOSE.get(a.dtype, _CLOSE_IN_FEWER_BITS)
    return torch.allclose(a, b, rtol=0, atol=part * max(largest, 1e-3), equal_nan=True)


def _tensors(values: Any) -> list[Tensor]:
    return [leaf.detach().clone() for leaf in pytree.tree_leaves(values) if is_tensor(leaf)]
