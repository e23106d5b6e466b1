"""Every ``if``, ``while`` and ``assert`` of a function, as a question to the branches.

if test: …      if branches.decided(test, file, line, row, column): …
"""

import ast
from collections.abc import Iterable, Sequence
from typing import Any

BRANCHES = "_pipeline_branches"  # a free variable of a compiled function
BARRED = (ast.Yield, ast.YieldFrom, ast.Await, ast.Global, ast.Nonlocal, ast.Delete, ast.NamedExpr)
_PLAIN_OPERATORS = (ast.Is, ast.IsNot, ast.In, ast.NotIn)
_PLAIN_FUNCTIONS = {"isinstance", "issubclass", "hasattr", "callable"}

Where = tuple[str, int]  # file and first line of a function


class Questions(ast.NodeTransformer):
    """Let every ``if``, ``while`` and ``assert`` ask the branches, which know what is open."""

    def __init__(self, where: Where) -> None:
        self._where = where

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        """An assertion passes."""
        self.generic_visit(node)
        return self._asked(node, "passes", [True])

    def visit_If(self, node: ast.If) -> ast.AST:
        """A way that only raises is not gone."""
        self.generic_visit(node)
        if _raises(node.body):
            return self._asked(node, "passes", [False])
        if _raises(node.orelse):
            return self._asked(node, "passes", [True])
        return self._decided(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        """The same within an expression."""
        self.generic_visit(node)
        return self._decided(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        """A loop that ends by a question."""
        self.generic_visit(node)
        return self._decided(node)

    def _decided(self, node: ast.If | ast.IfExp | ast.While) -> ast.AST:
        place = (*self._where, node.test.lineno, node.test.col_offset)
        return self._asked(node, "decided", place)

    def _asked(
        self, node: ast.If | ast.IfExp | ast.While | ast.Assert, method: str, further: Sequence[Any]
    ) -> ast.AST:
        if not _is_plain(node.test) and not has(node.test, BARRED):
            answers = [ast.copy_location(ast.Constant(part), node.test) for part in further]
            node.test = called(method, [question(node.test), *answers], node.test)
        return node


def question(test: ast.expr) -> ast.expr:
    """A test whose ``and``, ``or`` and ``not`` are those of tensors as well."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return called("negated", [question(test.operand)], test)
    if isinstance(test, ast.BoolOp):
        method = "both" if isinstance(test.op, ast.And) else "either"
        found = question(test.values[-1])
        for value in reversed(test.values[:-1]):
            found = called(method, [question(value), later(found)], test)
        return found
    return test


def called(method: str, arguments: list[ast.expr], at: ast.expr) -> ast.expr:
    """The call of a method of the branches, where ``at`` stands."""
    (statement,) = parsed(f"{BRANCHES}.{method}()", at)
    assert isinstance(statement, ast.Expr)
    call = statement.value
    assert isinstance(call, ast.Call)
    call.args = arguments
    return call


def later(value: ast.expr) -> ast.expr:
    """A function that gives ``value``."""
    (statement,) = parsed("lambda: 0", value)
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Lambda)
    statement.value.body = value
    return statement.value


def parsed(source: str, at: ast.expr | ast.stmt) -> list[ast.stmt]:
    """Statements that stand where ``at`` does."""
    statements = ast.parse(source).body
    for statement in statements:
        for node in ast.walk(statement):
            if hasattr(node, "lineno"):
                ast.copy_location(node, at)
    return statements


def _is_plain(test: ast.expr) -> bool:
    """Whether Python alone answers: ``is``, ``in``, ``isinstance`` and the like."""
    match test:
        case ast.Constant():
            return True
        case ast.Compare():
            return all(isinstance(operator, _PLAIN_OPERATORS) for operator in test.ops)
        case ast.BoolOp():
            return all(map(_is_plain, test.values))
        case ast.UnaryOp(ast.Not(), operand):
            return _is_plain(operand)
        case ast.Call(ast.Name(name)):
            return name in _PLAIN_FUNCTIONS or name.startswith("_pipeline")
        case ast.Call(ast.Attribute(ast.Name(name))):
            return name.startswith("_pipeline")
    return False


def _raises(way: Sequence[ast.stmt]) -> bool:
    return bool(way) and isinstance(way[-1], ast.Raise) and not has(way, (ast.Return,))


def walk(nodes: Iterable[ast.AST]) -> Iterable[ast.AST]:
    """All nodes, without what lies in a scope of its own."""
    inner = (ast.FunctionDef, ast.ClassDef, ast.Lambda)
    comprehensions = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    for node in nodes:
        yield node
        if not isinstance(node, (*inner, *comprehensions)):
            yield from walk(ast.iter_child_nodes(node))


def has(nodes: ast.AST | Iterable[ast.AST], kinds: tuple[type[ast.AST], ...]) -> bool:
    """Whether a node of one of ``kinds`` is within ``nodes``, functions of their own apart."""
    some = [nodes] if isinstance(nodes, ast.AST) else nodes
    return any(isinstance(node, kinds) for node in walk(some))
