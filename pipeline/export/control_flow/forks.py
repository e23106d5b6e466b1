"""The two ways of a Python ``if``, as functions in the source of the function that has it.

    if test:                 def yes(h=missing): h = cell(x, h); return {"h": h}
        h = cell(x, h)       def no(h=missing): return {"h": h}
    return h                 found = branches.chosen(test, yes, no, locals(), ("h",))
                             if "h" in found: h = found["h"]
                             return h

Where a way returns, what comes after the ``if`` belongs to the other way, and the choice is
returned. An ``if`` that does more than that stays as it is.
"""

import ast
import copy
from collections.abc import Iterable, Sequence

from pipeline.export.control_flow.questions import (
    BARRED,
    BRANCHES,
    called,
    has,
    later,
    parsed,
    question,
    walk,
)

_YES, _NO, _FOUND = "_pipeline_yes", "_pipeline_no", "_pipeline_found"
_HARMLESS = {"print", "warn", "warning", "info", "debug"}  # calls that give nothing


class Forks(ast.NodeTransformer):
    """Make both ways of an ``if`` functions, at the lines and columns in ``places``."""

    def __init__(self, function: ast.FunctionDef, places: Iterable[tuple[int, int]]) -> None:
        self._places = set(places)
        arguments = function.args.posonlyargs + function.args.args
        self._first = arguments[0].arg if arguments else ""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """A function, whose body ends where it returns."""
        node.body = self._block(node.body, tail=True)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        """``a if test else b``."""
        self.generic_visit(node)
        if not self._is_open(node) or has(node, BARRED):
            return node
        ways = [later(node.body), later(node.orelse)]
        known = ast.copy_location(ast.Dict([], []), node)
        return called("chosen", [question(node.test), *ways, known], node)

    def _is_open(self, node: ast.If | ast.IfExp) -> bool:
        return (node.test.lineno, node.test.col_offset) in self._places

    def _block(self, statements: Sequence[ast.stmt], tail: bool) -> list[ast.stmt]:
        """Statements; at the end of a ``tail``, the function returns."""
        done: list[ast.stmt] = []
        for place, statement in enumerate(statements):
            rest = statements[place + 1 :]
            if isinstance(statement, ast.If) and self._is_open(statement):
                returns = has([*statement.body, *statement.orelse], (ast.Return,))
                if not returns and _can_fork(statement.body, statement.orelse):
                    done += self._assigned(statement)
                    continue
                ways = [
                    way if _ends(way) else [*way, *rest]
                    for way in (statement.body, statement.orelse)
                ]
                if returns and tail and _can_fork(*ways):
                    return [*done, *self._returned(statement, *ways)]
            done.append(self._within(statement, tail and not rest))
        return done

    def _within(self, statement: ast.stmt, tail: bool) -> ast.stmt:
        tail = tail and isinstance(statement, ast.If | ast.With)
        for field in ("body", "orelse", "finalbody"):
            block = getattr(statement, field, None)
            if isinstance(block, list) and not isinstance(statement, ast.FunctionDef):
                setattr(statement, field, self._block(block, tail))
        for handler in getattr(statement, "handlers", ()):
            handler.body = self._block(handler.body, False)
        if isinstance(statement, ast.FunctionDef):
            return self.visit_FunctionDef(statement)
        for field, value in ast.iter_fields(statement):
            if isinstance(value, ast.expr):
                setattr(statement, field, self.visit(value))
        return statement

    def _assigned(self, node: ast.If) -> list[ast.stmt]:
        """The choice between the names that the two ways set."""
        names = _stored([*node.body, *node.orelse])
        given = parsed(f"return {{{', '.join(f'{name!r}: {name}' for name in names)}}}", node)
        ways = self._ways(node, [*node.body, *given], [*node.orelse, *given], names, tail=False)
        choice = parsed(f"{_FOUND} = 0", node)
        assert isinstance(choice[0], ast.Assign)
        choice[0].value = _choice(node, names)
        after = "\n".join(f"if {name!r} in {_FOUND}: {name} = {_FOUND}[{name!r}]" for name in names)
        return [*ways, *choice, *parsed(after, node)]

    def _returned(
        self, node: ast.If, yes: Sequence[ast.stmt], no: Sequence[ast.stmt]
    ) -> list[ast.stmt]:
        """The choice between what the two ways return."""
        names = _stored([*yes, *no])
        ways = self._ways(node, yes, no, names, tail=True)
        return [*ways, ast.copy_location(ast.Return(_choice(node, names)), node)]

    def _ways(
        self,
        node: ast.If,
        yes: Sequence[ast.stmt],
        no: Sequence[ast.stmt],
        names: Sequence[str],
        tail: bool,
    ) -> list[ast.stmt]:
        parameters = ", ".join(f"{name}={BRANCHES}.missing" for name in names)
        ways: list[ast.stmt] = []
        for name, body in ((_YES, yes), (_NO, no)):
            (way,) = parsed(f"def {name}({parameters}): pass", node)
            assert isinstance(way, ast.FunctionDef)
            body = [_Super(self._first).visit(each) for each in copy.deepcopy(list(body))]
            way.body = self._block(body, tail) or way.body
            ways.append(way)
        return ways


def _choice(node: ast.If, names: Sequence[str]) -> ast.expr:
    """The call that chooses between the two ways of ``node``, which are functions by now."""
    (statement,) = parsed(f"({_YES}, {_NO}, locals(), {names})", node)
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Tuple)
    return called("chosen", [question(node.test), *statement.value.elts], node.test)


def _can_fork(*ways: Sequence[ast.stmt]) -> bool:
    """Whether the ways are functions of what they read, as far as their source tells."""
    for way in ways:
        stored = set(_stored(way))
        for node in walk(way):
            if isinstance(node, BARRED) or _leaves_a_loop(node, way):
                return False
            if _sets(node, ast.Attribute) or (
                _sets(node, ast.Subscript) and _root(node) not in stored
            ):
                return False
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                name = ast.unparse(node.value.func).rpartition(".")[2]
                if name not in _HARMLESS and _root(node.value.func) not in stored:
                    return False
    return True


def _leaves_a_loop(node: ast.AST, way: Sequence[ast.stmt]) -> bool:
    """Whether ``node`` is a break or continue of a loop around ``way``."""
    if not isinstance(node, ast.Break | ast.Continue):
        return False
    loops = [each for each in walk(way) if isinstance(each, ast.For | ast.While)]
    return not any(node is inner for loop in loops for inner in ast.walk(loop))


def _sets(node: ast.AST, kind: type[ast.Attribute] | type[ast.Subscript]) -> bool:
    return isinstance(node, kind) and not isinstance(node.ctx, ast.Load)


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _stored(statements: Iterable[ast.stmt]) -> tuple[str, ...]:
    """The names that statements set, but for those of functions and comprehensions within."""
    found = []
    for node in walk(statements):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found += [(each.asname or each.name).split(".")[0] for each in node.names]
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.append(node.name)
    hidden = {_YES, _NO, _FOUND}
    return tuple(name for name in dict.fromkeys(found) if name not in hidden)


def _ends(way: Sequence[ast.stmt]) -> bool:
    """Whether nothing after ``way`` is reached."""
    if not way:
        return False
    last = way[-1]
    if isinstance(last, ast.If):
        return _ends(last.body) and _ends(last.orelse)
    if isinstance(last, ast.With):
        return _ends(last.body)
    return isinstance(last, ast.Return | ast.Raise)


class _Super(ast.NodeTransformer):
    """``super()`` in a function within a method, which has no arguments of its own."""

    def __init__(self, first: str) -> None:
        self._first = first

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Give it the class and the first argument of the method."""
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args:
            names = ("__class__", self._first)
            node.args = [ast.copy_location(ast.Name(name, ast.Load()), node) for name in names]
        return node
