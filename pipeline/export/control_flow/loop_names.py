"""The names of one step of a loop: which it sets, and which it reads before it has set them."""

import ast
from collections.abc import Iterable, Sequence

_SCOPES = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Names(ast.NodeVisitor):
    """Go through ``body`` in the order in which it runs.

    ``carried`` are the names that go from step to step: those read before they are set.
    ``changed`` are those changed at a place, as in ``h[0] = …``, which reads them too. ``stored``
    are all that are set or so changed. ``known`` are
    those already set at the beginning.
    """

    def __init__(self, body: Sequence[ast.stmt], known: Iterable[str]) -> None:
        self.changed = _changed(body)
        self.stored = _stored(body) | self.changed
        self.carried: list[str] = []
        self.read: set[str] = set()
        self._known, self._local = set(known), set[str]()
        for statement in body:
            self.visit(statement)

    def visit_Name(self, node: ast.Name) -> None:
        """A name that is read, set or deleted."""
        if node.id in self._local:
            return
        if isinstance(node.ctx, ast.Store):
            self._known.add(node.id)
            return
        self.read.add(node.id)
        if node.id in self.stored - self._known and node.id not in self.carried:
            self.carried.append(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        """The value comes first."""
        for child in (node.value, *node.targets):
            self.visit(child)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """A name without a value is not set."""
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """The target is read, too."""
        if isinstance(node.target, ast.Name):
            self.visit_Name(ast.Name(node.target.id, ast.Load()))
        self.visit(node.value)
        self.visit(node.target)

    def visit_For(self, node: ast.For) -> None:
        """A loop within the step, which runs at least once."""
        for child in (node.iter, node.target, *node.body):
            self.visit(child)

    def visit_If(self, node: ast.If) -> None:
        """What one branch alone sets is not known to be set."""
        self.visit(node.test)
        before, ends = set(self._known), []
        for branch in (node.body, node.orelse):
            self._known = set(before)
            for statement in branch:
                self.visit(statement)
            ends.append(self._known)
        self._known = ends[0] & ends[1]

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Its arguments are its own."""
        arguments = {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)}
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        self._within(arguments, [node.body])

    def generic_visit(self, node: ast.AST) -> None:
        """A comprehension, whose targets are its own, or whatever has children."""
        if not isinstance(node, _SCOPES):
            super().generic_visit(node)
            return
        self.visit(node.generators[0].iter)
        own = {
            name.id
            for each in node.generators
            for name in ast.walk(each.target)
            if isinstance(name, ast.Name)
        }
        self._within(own, list(ast.iter_child_nodes(node)))

    def _within(self, own: set[str], nodes: Iterable[ast.AST]) -> None:
        before, self._local = self._local, self._local | own
        for node in nodes:
            self.visit(node)
        self._local = before


def _stored(body: Sequence[ast.stmt]) -> set[str]:
    """The names that are set, but for those of comprehensions."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        waiting += [
            child
            for child in ast.iter_child_nodes(node)
            if not isinstance(child, ast.comprehension)
        ]
    return found


def _changed(body: Sequence[ast.stmt]) -> set[str]:
    """The names of what is changed at a place."""
    return {
        base.id
        for statement in body
        for node in ast.walk(statement)
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
        for base in [base_of(node)]
        if base is not None
    }


def base_of(node: ast.expr) -> ast.Name | None:
    """The name that ``h[0][1]`` begins with, None if it begins with something else."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node if isinstance(node, ast.Name) else None


def names_of(target: ast.expr) -> str | tuple[object, ...]:
    """The names of the target of a loop, nested as they are."""
    if isinstance(target, ast.Name):
        return target.id
    if isinstance(target, ast.Tuple | ast.List):
        return tuple(names_of(each) for each in target.elts)
    raise ValueError


def flat(target: str | tuple[object, ...]) -> list[str]:
    """The names in ``target``, one after the other."""
    if isinstance(target, str):
        return [target]
    return [name for each in target for name in flat(each)]  # type: ignore[arg-type]
