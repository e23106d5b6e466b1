"""Where in a module an export fails: which submodule runs, and which line of its author's file."""

import ast
import linecache
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch._jit_internal import FunctionModifiers
from torch.utils import _pytree as pytree

from pipeline.export.author import is_authors

_EXPORTED = FunctionModifiers.EXPORT  # what @torch.jit.export marks a method with
_CALLER = "pipeline.export.module.capture"


@dataclass(frozen=True)
class Frozen:
    """The submodule and the line that leave an axis with one size."""

    place: str
    file: str = ""
    line: int = 0

    @property
    def at(self) -> str:
        """``mynet.py:12``, or nothing where no line of an author is known."""
        return f"{Path(self.file).name}:{self.line}" if self.file else ""

    @property
    def loop(self) -> ast.For | ast.comprehension | None:
        """The loop that runs over the axis there, if that is what freezes it."""
        try:
            tree = ast.parse("".join(linecache.getlines(self.file)))
        except SyntaxError:  # a cell of a notebook may have other commands in it
            return None
        for node in ast.walk(tree):
            if isinstance(node, ast.For | ast.comprehension):
                end = node.iter.end_lineno or node.iter.lineno
                if node.iter.lineno <= self.line <= end:
                    return node
        return None


class Trail:
    """The submodules of ``root`` that have begun and not ended, innermost last.

    ``axes`` holds the names of the dynamic axes of every tensor among the inputs.
    """

    def __init__(self, root: nn.Module, axes: Sequence[Mapping[int, str]]) -> None:
        self.root, self._axes = root, axes
        self._names = {module: name for name, module in root.named_modules()}
        self._by_attributes: dict[int, nn.Module] = {
            id(vars(module)): module for module in self._names
        }
        self._running: list[nn.Module] = []
        self._sizes: dict[str, torch.SymInt] = {}
        self.frozen: dict[str, Frozen] = {}  # by the name of the axis

    @property
    def here(self) -> str:
        """The innermost submodule that is running."""
        return self.describe(self._running[-1] if self._running else self.root)

    def describe(self, module: nn.Module) -> str:
        """Qualified name and class of a submodule, or the class of one that ``forward`` made."""
        kind, name = type(module).__name__, self._names.get(module)
        return f"'{name}' ({kind})" if name else kind if name is None else f"{kind}.forward"

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Follow every call for a while, from the beginning."""
        self._running, self._sizes, self.frozen = [], {}, {}
        handles = []
        compiled = {child for each in self._names if _is_compiled(each) for child in each.modules()}
        for module in self._names:
            if module in compiled:
                continue
            handles.append(module.register_forward_pre_hook(self._enter))
            handles.append(module.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _itself(self, module: nn.Module) -> nn.Module:
        """The module that another stands for, as torch.export does if one has several names."""
        itself: nn.Module = self._by_attributes.get(id(vars(module)), module)
        return itself

    def _enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if torch.compiler.is_dynamo_compiling():  # the step of a scan, which is compiled once
            return
        module = self._itself(module)
        if module is self.root:
            tensors = [leaf for leaf in pytree.tree_leaves(inputs) if torch.is_tensor(leaf)]
            for tensor, axes in zip(tensors, self._axes, strict=True):
                for axis, name in axes.items():
                    size = tensor.size(axis)
                    if isinstance(size, torch.SymInt) and name not in self._sizes:
                        self._sizes[name] = size
                        self._watch(size)
                    elif isinstance(size, torch.SymInt):
                        bool(size == self._sizes[name])  # one name is one size, from here on
        self._note_frozen()
        self._running.append(module)

    def _leave(self, module: nn.Module, inputs: object, output: object) -> None:
        if torch.compiler.is_dynamo_compiling():
            return
        module = self._itself(module)
        self._note_frozen()
        while self._running and self._running.pop() is not module:
            pass  # a submodule whose error its caller has caught

    def _watch(self, size: torch.SymInt) -> None:
        """Note what freezes while the line that does it still runs, if this torch tells it."""
        symbols = size.node.shape_env  # of this export alone
        plain = getattr(symbols, "_set_replacement", None)
        if plain is None or "_set_replacement" in vars(symbols):
            return

        def replace(symbol: Any, expression: Any, *args: Any, **options: Any) -> None:
            plain(symbol, expression, *args, **options)
            if expression.is_number:
                self._note_frozen()

        symbols._set_replacement = replace

    def _note_frozen(self) -> None:
        for name, size in self._sizes.items():
            if name not in self.frozen and size.node.expr.is_number:
                file, line = _authors_line()
                self.frozen[name] = Frozen(self.here, file, line)


def _is_compiled(module: nn.Module) -> bool:
    """Whether TorchScript compiles methods of ``module``, and with them its hooks."""
    if isinstance(module, torch.jit.ScriptModule):
        return True
    kind = type(module)
    methods = (getattr(kind, name, None) for name in dir(kind))
    return any(getattr(method, "_torchscript_modifier", None) is _EXPORTED for method in methods)


def _authors_line() -> tuple[str, int]:
    """The file and line of an author's code that runs, nothing where PyTorch runs alone."""
    frame: FrameType | None = sys._getframe()
    # Whatever lies below the frame that called torch.export belongs to the caller of ours.
    while frame is not None and frame.f_globals.get("__name__") != _CALLER:
        if is_authors(frame.f_code.co_filename):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return "", 0
