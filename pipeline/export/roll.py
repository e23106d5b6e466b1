"""Python loops over time, rolled up into torch's scan where every step is the same.

A tracer runs a loop as often as the example has steps. Where the steps differ in nothing but what
they read of the sequence, the loop

    for t in range(x.size(1)):
        h = cell(x[:, t], h)
        ys.append(h)

is compiled as a function of one step, ``h`` and ``x[:, t]`` to ``h`` and what is appended, that a
scan calls. A loop that does more than that stays as it is. What comes out is held against the
author's own loop at other lengths, as everything is.
"""

import ast
import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from pipeline.export.open_scan import contiguous, open_scan
from pipeline.export.unswitch import unswitched

_BARRED = (ast.Break, ast.Continue, ast.Return, ast.Yield, ast.YieldFrom, ast.Await)
_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr)


class Steps:
    """What each step of a loop appended to a list, as one tensor ``[time, …]``."""

    def __init__(self, stacked: Tensor) -> None:
        self.stacked = stacked

    def __getitem__(self, place: int) -> Tensor:
        return self.stacked[place]

    def __len__(self) -> int:
        return len(self.stacked)


class Roll:
    """What compiled loops call while they run."""

    def __init__(self) -> None:
        self.rolled = 0  # how many loops became a scan

    def is_open(self, count: Any, state: Sequence[Any], xs: Sequence[Any], lists: Any) -> bool:
        """Whether a loop of ``count`` steps is one that an exporter would unroll."""
        traced = torch._C._get_tracing_state() is not None and isinstance(count, Tensor)
        open_size = isinstance(count, torch.SymInt) and not count.node.expr.is_number
        leaves = pytree.tree_leaves((state, xs))
        return (
            (traced or open_size)
            and bool(xs)
            and all(isinstance(leaf, Tensor) for leaf in leaves)
            and not any(map(len, lists))
        )

    def scan(
        self, step: Callable[..., Any], state: Any, xs: Sequence[Tensor], axes: Sequence[int]
    ) -> tuple[Any, tuple[Steps, ...]]:
        """Run ``step`` over the ``axes`` of ``xs``; the last state, and what was appended."""
        self.rolled += 1
        empty = not pytree.tree_leaves(state)
        first = (xs[0].new_zeros(1),) if empty else state  # a scan has to have a state

        def pure(state: Any, x: Any) -> Any:
            after, y = step(() if empty else state, x)
            # A scan gives back no tensor twice, and none that it was given.
            return pytree.tree_map(contiguous, (state if empty else after, y))

        turned = tuple(x.movedim(axis, 0) for x, axis in zip(xs, axes, strict=True))
        last, ys = open_scan(pure, first, turned)
        return () if empty else last, tuple(map(Steps, ys))


def stack(tensors: Any, dim: int = 0, **options: Any) -> Tensor:
    """``torch.stack``, also of :class:`Steps`."""
    if isinstance(tensors, Steps):
        return tensors.stacked.movedim(0, dim)
    return torch.stack(tensors, dim, **options)


def cat(tensors: Any, dim: int = 0, **options: Any) -> Tensor:
    """``torch.cat``, also of :class:`Steps`."""
    if isinstance(tensors, Steps):
        y = tensors.stacked
        dim = dim % (y.dim() - 1)
        return y.movedim(0, dim).flatten(dim, dim + 1)
    return torch.cat(tensors, dim, **options)


def listed(plain: Callable[..., Any]) -> Callable[..., Any]:
    """``list`` or ``tuple``, which leave :class:`Steps` as they are."""
    return lambda *args: args[0] if args and isinstance(args[0], Steps) else plain(*args)


class Loops(ast.NodeTransformer):
    """Give each loop of ``function`` that can be rolled up the scan beside it."""

    def __init__(self, function: ast.FunctionDef) -> None:
        self.function = function

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """A function within it has names of its own."""
        return self.generic_visit(node) if node is self.function else Loops(node).visit(node)

    def visit_For(self, node: ast.For) -> ast.stmt:
        """The loop, or the choice between it and a scan."""
        self.generic_visit(node)

        def with_scan(loop: ast.For) -> ast.stmt:
            try:
                return _Loop(loop, node, self.function).with_scan()
            except _Stays:
                return copy.deepcopy(node)  # there may be several

        return unswitched(node, with_scan)


class _Stays(Exception):  # noqa: N818
    """A loop that is more than one step after another."""


class _Loop:
    """``node``, which is the loop ``original`` of ``function``, or one branch of it."""

    def __init__(self, node: ast.For, original: ast.For, function: ast.FunctionDef) -> None:
        self.original = original
        self.count, self.step = _range(node), _name(node.target)
        self.xs: list[tuple[str, int]] = []  # the sequences, and the axis of their steps
        self.lists: list[str] = []
        self.body = [self._statement(statement) for statement in node.body]
        stored = {n.id for n in _names(self.body) if isinstance(n.ctx, ast.Store)}
        self.carried = _read_first(self.body, stored)
        appended = {f"_pipeline_y{k}" for k in range(len(self.lists))}
        # Other loops may count with the same name.
        loops = [n for n in ast.walk(function) if isinstance(n, ast.For)]
        same = [n for n in loops if n is original or _is(n.target, self.step)]
        within = {id(n) for loop in same for n in ast.walk(loop)}
        counts = any(_is(n, self.step) for n in _names(function.body) if id(n) not in within)
        inside = {id(n) for n in ast.walk(original)}
        others = [n for n in _names(function.body) if id(n) not in inside]
        read = {n.id for n in others if isinstance(n.ctx, ast.Load)}
        self.last = sorted((stored - set(self.carried) - appended) & read)
        used = {n.id for n in _names(self.body)}
        if counts or self.step in used or used & set(self.lists):
            raise _Stays
        if stored & {x for x, _ in self.xs} or node.orelse:
            raise _Stays

    def with_scan(self) -> ast.stmt:
        """``if`` the loop has to stay open, the scan; ``else`` the loop."""
        ys = [*(f"_pipeline_y{k}" for k in range(len(self.lists))), *self.last]
        slices = [f"_pipeline_x{k}" for k in range(len(self.xs))]
        state, xs, lists = map(_tuple, (self.carried, [x for x, _ in self.xs], self.lists))
        last = "".join(f"; {name} = {name}[-1]" for name in self.last)
        source = f"""
if _pipeline_roll.is_open({ast.unparse(self.count)}, {state}, {xs}, {lists}):
    def _pipeline_step(_pipeline_state, _pipeline_x):
        {state} = _pipeline_state
        {_tuple(slices)} = _pipeline_x
        return {state}, {_tuple(ys)}
    {state}, {_tuple([*self.lists, *self.last])} = _pipeline_roll.scan(
        _pipeline_step, {state}, {xs}, {[axis for _, axis in self.xs]}
    ){last}
else:
    pass
"""
        (choice,) = ast.parse(source).body
        for child in ast.walk(choice):
            if hasattr(child, "lineno"):
                ast.copy_location(child, self.original)
        assert isinstance(choice, ast.If)
        step = choice.body[0]
        assert isinstance(step, ast.FunctionDef)
        step.body[2:2] = self.body
        choice.orelse = [copy.deepcopy(self.original)]  # of which there are several
        return choice

    def _statement(self, statement: ast.stmt) -> ast.stmt:
        """A statement of one step, which reads its part of the sequences."""
        if not isinstance(statement, _SIMPLE):
            raise _Stays
        if any(isinstance(child, _BARRED) for child in ast.walk(statement)):
            raise _Stays
        # The loop itself is kept beside, so this is a copy.
        (copied,) = ast.parse(ast.unparse(statement)).body
        for child in ast.walk(copied):
            if hasattr(child, "lineno"):
                ast.copy_location(child, statement)
        if isinstance(copied, ast.Expr):
            copied = self._append(copied.value)
        for child in ast.walk(copied):
            if isinstance(child, ast.Attribute | ast.Subscript) and isinstance(
                child.ctx, ast.Store
            ):
                raise _Stays
        new: ast.stmt = _Slices(self).visit(copied)
        return new

    def _append(self, call: ast.expr) -> ast.stmt:
        """``ys.append(value)`` as the output of a step."""
        match call:
            case ast.Call(ast.Attribute(ast.Name(name), "append"), [value], []):
                self.lists.append(name)
                target = ast.Name(f"_pipeline_y{len(self.lists) - 1}", ast.Store())
                if name in self.lists[:-1]:
                    raise _Stays
                return ast.copy_location(ast.Assign([ast.copy_location(target, call)], value), call)
        raise _Stays


class _Slices(ast.NodeTransformer):
    """Read ``x[:, t]`` as the part of ``x`` that the scan gives."""

    def __init__(self, loop: _Loop) -> None:
        self.loop = loop

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """The part, or a subscript that has nothing to do with the loop."""
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        places = [k for k, part in enumerate(parts) if _is(part, self.loop.step)]
        if len(places) != 1 or not isinstance(node.value, ast.Name):
            self.generic_visit(node)
            return node
        others = [part for k, part in enumerate(parts) if k != places[0]]
        if not all(isinstance(part, ast.Slice) and ast.unparse(part) == ":" for part in others):
            raise _Stays
        sequence = node.value.id, places[0]
        if sequence not in self.loop.xs:
            self.loop.xs.append(sequence)
        name = f"_pipeline_x{self.loop.xs.index(sequence)}"
        return ast.copy_location(ast.Name(name, ast.Load()), node)


def _range(node: ast.For) -> ast.expr:
    match node.iter:
        case ast.Call(ast.Name("range"), [count], []):
            return count
    raise _Stays


def _name(target: ast.expr) -> str:
    if isinstance(target, ast.Name):
        return target.id
    raise _Stays


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _names(statements: Sequence[ast.stmt]) -> list[ast.Name]:
    return [n for s in statements for n in ast.walk(s) if isinstance(n, ast.Name)]


def _read_first(body: Sequence[ast.stmt], stored: set[str]) -> list[str]:
    """The names that a step reads before it sets them: those that go from step to step."""
    carried: list[str] = []
    known: set[str] = set()
    for statement in body:
        names = _names([statement])
        for name in names:
            reads = isinstance(name.ctx, ast.Load) or isinstance(statement, ast.AugAssign)
            if reads and name.id in stored - known and name.id not in carried:
                carried.append(name.id)
        known |= {name.id for name in names if isinstance(name.ctx, ast.Store)}
    return carried


def _tuple(names: Sequence[str]) -> str:
    return f"({', '.join(names)},)" if names else "()"
