"""Where in a module an export fails: which submodule runs, and in which an axis gets frozen."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree


class Trail:
    """The submodules of ``root`` that have begun and not ended, innermost last.

    ``axes`` holds the names of the dynamic axes of every tensor among the inputs.
    """

    def __init__(self, root: nn.Module, axes: Sequence[Mapping[int, str]]) -> None:
        self.root, self._axes = root, axes
        self._names = {module: name for name, module in root.named_modules()}
        self._running: list[nn.Module] = []
        self._sizes: dict[str, torch.SymInt] = {}
        self.frozen: dict[str, str] = {}  # axis name to the submodule that needs one size

    @property
    def here(self) -> str:
        """The innermost submodule that is running."""
        return self.describe(self._running[-1] if self._running else self.root)

    def describe(self, module: nn.Module) -> str:
        """Qualified name and class of a submodule."""
        name = self._names[module]
        return f"'{name}' ({type(module).__name__})" if name else f"{type(module).__name__}.forward"

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Follow every call for a while."""
        handles = []
        for module in self._names:
            handles.append(module.register_forward_pre_hook(self._enter))
            handles.append(module.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if module is self.root:
            tensors = [leaf for leaf in pytree.tree_leaves(inputs) if torch.is_tensor(leaf)]
            for tensor, axes in zip(tensors, self._axes, strict=True):
                for axis, name in axes.items():
                    size = tensor.size(axis)
                    if isinstance(size, torch.SymInt):
                        self._sizes.setdefault(name, size)
        self._note_frozen()
        self._running.append(module)

    def _leave(self, module: nn.Module, inputs: object, output: object) -> None:
        self._note_frozen()
        self._running.pop()

    def _note_frozen(self) -> None:
        for name, size in self._sizes.items():
            if size.node.expr.is_number:
                self.frozen.setdefault(name, self.here)
