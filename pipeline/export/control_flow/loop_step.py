"""One step of a loop: what a scan can do of it, and what it reads and adds to.

A step reads ``x[:, t]``, and adds to lists and tensors: :class:`Slices` and :func:`appended` find
these. :func:`check` lets the rest of it be what a scan can do.
"""

import ast
from collections.abc import Sequence

from pipeline.export.control_flow.loop_names import base_of, names_of

BARRED = (
    ast.Break, ast.Continue, ast.Return, ast.Yield, ast.YieldFrom, ast.Await, ast.Delete,
    ast.NamedExpr,
)  # fmt: skip


class Stays(Exception):  # noqa: N818
    """A loop that is more than one step after another."""


class Slices(ast.NodeTransformer):
    """Read ``x[:, t]`` as the part of ``x`` that the scan gives."""

    def __init__(self, numbers: Sequence[str]) -> None:
        self.numbers = numbers
        self.found: list[tuple[str, str, int]] = []  # the sequences, their numbers and axes

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """The part, or a subscript that has nothing to do with the loop."""
        place = _at_number(node, self.numbers)
        if place is None or isinstance(node.ctx, ast.Store):
            self.generic_visit(node)
            return node
        if place not in self.found:
            self.found.append(place)
        part: ast.expr = ast.Name(f"_pipeline_x{self.found.index(place)}", ast.Load())
        axes = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
        others = [self.visit(each) for k, each in enumerate(axes) if k != place[2]]
        if any(ast.unparse(each) not in (":", "...") for each in others):
            part = ast.Subscript(part, ast.Tuple(others, ast.Load()), ast.Load())
        return ast.fix_missing_locations(ast.copy_location(part, node))


def _at_number(node: ast.expr, numbers: Sequence[str]) -> tuple[str, str, int] | None:
    """Sequence, number and axis of ``x[:, t]``, None of anything else."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
        return None
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    places = [
        k for k, part in enumerate(parts) if isinstance(part, ast.Name) and part.id in numbers
    ]
    if len(places) != 1:
        return None
    if any(ast.unparse(part) != ":" for part in parts[: places[0]]):
        return None
    number = parts[places[0]]
    assert isinstance(number, ast.Name)
    return node.value.id, number.id, places[0]


def appended(
    statement: ast.stmt, numbers: Sequence[str]
) -> tuple[str, ast.expr, tuple[str, str, int]] | None:
    """What is added to, the value, and how, if ``statement`` does that and no more."""
    match statement:
        case ast.Expr(ast.Call(ast.Attribute(ast.Name(name), "append"), [value], [])):
            return name, value, ("append", "", 0)
        case ast.Expr(
            ast.Call(ast.Attribute(ast.Name(name), "insert"), [ast.Constant(0), value], [])
        ):
            return name, value, ("insert", "", 0)
        case ast.AugAssign(ast.Name(name), ast.Add(), ast.List([value]) | ast.Tuple([value])):
            return name, value, ("append", "", 0)
        case ast.Assign(
            [ast.Name(name)],
            ast.BinOp(ast.Name(other), ast.Add(), ast.List([value]) | ast.Tuple([value])),
        ) if name == other:
            return name, value, ("append", "", 0)
        case ast.Assign(
            [ast.Name(name)],
            ast.List([ast.Starred(ast.Name(other)), value])
            | ast.Tuple([ast.Starred(ast.Name(other)), value]),
        ) if name == other:
            return name, value, ("append", "", 0)
        case ast.Assign([ast.Subscript() as target], value):
            place = _at_number(target, numbers)
            others = target.slice.elts if isinstance(target.slice, ast.Tuple) else []
            if place is not None and all(ast.unparse(k) in (":", place[1]) for k in others):
                name, number, axis = place
                return name, value, ("store", number, axis)
    return None


def is_local(name: str, body: Sequence[ast.stmt]) -> bool:
    """Whether a step makes the list ``name`` itself."""
    return any(
        isinstance(each, ast.Assign | ast.AnnAssign)
        and any(isinstance(n, ast.Name) and n.id == name for n in _assigned(each))
        for each in body
    )


def _assigned(statement: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return statement.targets if isinstance(statement, ast.Assign) else [statement.target]


def check(statement: ast.stmt, numbers: Sequence[str], own: set[str]) -> None:
    """Let a step do what a scan can do; ``own`` are the names that it sets."""
    match statement:
        case ast.For(orelse=[]):
            within = statement.body
        case ast.If():
            within = [*statement.body, *statement.orelse]
        case ast.Expr(ast.Call(ast.Attribute(ast.Name(name), "append"))) if name in own:
            within = []
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign() | ast.Pass():
            within = []
        case _:
            raise Stays
    for each in within:
        check(each, numbers, own)
    for child in ast.walk(statement):
        if isinstance(child, ast.Attribute) and isinstance(child.ctx, ast.Store):
            raise Stays
        if isinstance(child, ast.Subscript):
            if isinstance(child.ctx, ast.Store) and base_of(child) is None:
                raise Stays
            if any(isinstance(n, ast.Name) and n.id in numbers for n in ast.walk(child.slice)):
                raise Stays  # a place that no scan gives


def asks_for_none(statement: ast.stmt) -> bool:
    """Whether ``statement`` is an ``if h is None``, which asks for the first state."""
    match statement:
        case ast.If(ast.Compare(ast.Name(), [ast.Is() | ast.IsNot()], [ast.Constant(None)])):
            return True
    return False


def target_names(target: ast.expr) -> str | tuple[object, ...]:
    """The names of a loop's target, nested as it is; raises :class:`Stays` for other targets."""
    try:
        return names_of(target)
    except ValueError as error:
        raise Stays from error
