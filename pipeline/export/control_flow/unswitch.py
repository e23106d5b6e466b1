"""Conditions that are the same in every step of a loop, taken out of it.

    for t in range(x.size(1)):
        inputs = x[:, t] if self.batch_first else x[t]

is two loops of one statement each, and the condition chooses between them.
"""

import ast
import copy
from collections.abc import Callable

_FIXED = (
    ast.Name, ast.Attribute, ast.Constant, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.expr_context,
    ast.boolop, ast.unaryop, ast.cmpop,
)  # fmt: skip
_MOST = 6  # conditions of a loop


def unswitched(
    loop: ast.For, made: Callable[[ast.For], ast.stmt], conditions: int = _MOST
) -> ast.stmt:
    """What is ``made`` of ``loop``, or of the loops without those conditions, chosen by them.

    Of each branch there is a loop, so only so many ``conditions`` are taken out.
    """
    stored = {
        node.id
        for node in ast.walk(loop)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    for place, node in enumerate(ast.walk(loop)):
        if isinstance(node, ast.If | ast.IfExp) and conditions and _is_fixed(node.test, stored):
            branches = [
                [unswitched(_Decided(place, answer).of(loop), made, conditions - 1)]
                for answer in (True, False)
            ]
            return ast.copy_location(ast.If(copy.deepcopy(node.test), *branches), node)
    return made(loop)


def _is_fixed(test: ast.expr, stored: set[str]) -> bool:
    return all(
        isinstance(node, _FIXED) and not (isinstance(node, ast.Name) and node.id in stored)
        for node in ast.walk(test)
    )


class _Decided(ast.NodeTransformer):
    """One branch of a condition, which is so many nodes from the beginning."""

    def __init__(self, place: int, answer: bool) -> None:
        self._place, self._answer = place, answer

    def of(self, loop: ast.For) -> ast.For:
        """A copy of ``loop`` with the branch alone."""
        loop = copy.deepcopy(loop)
        self._node = list(ast.walk(loop))[self._place]
        found: ast.For = self.visit(loop)
        return found

    def visit_If(self, node: ast.If) -> ast.stmt | list[ast.stmt]:
        """The statements of the branch."""
        if node is not self._node:
            self.generic_visit(node)
            return node
        return node.body if self._answer else node.orelse

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        """The value of the branch."""
        if node is not self._node:
            self.generic_visit(node)
            return node
        return node.body if self._answer else node.orelse
