"""Loops in the source of a function, each with the scan beside it that it may become.

A step may assign to names, to places in lists and tensors, and to attributes; append to lists;
have loops of its own, over layers, and conditions that ask for no tensor's values. It reads
sequences at the number that the loop counts, or gets their items. What a step reads before it sets
it goes from step to step.
"""

import ast
import copy
from collections.abc import Sequence

from pipeline.export.control_flow.loop_names import Names, flat
from pipeline.export.control_flow.loop_step import (
    BARRED,
    Slices,
    Stays,
    appended,
    asks_for_none,
    check,
    is_local,
    target_names,
)
from pipeline.export.control_flow.unswitch import unswitched


class Loops(ast.NodeTransformer):
    """Give each loop of ``function`` that can be rolled up the scan beside it."""

    def __init__(self, function: ast.FunctionDef) -> None:
        self.function = function

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """A function within it has names of its own."""
        return self.generic_visit(node) if node is self.function else Loops(node).visit(node)

    def visit_For(self, node: ast.For) -> ast.stmt:
        """The loop, or the choice between it and a scan."""
        loop = copy.deepcopy(node)
        self.generic_visit(node)
        names = _name_attributes(loop)

        def with_scan(chosen: ast.For) -> ast.stmt:
            try:
                return _Loop(chosen, node, self.function, names).with_scan()
            except Stays:
                return copy.deepcopy(node)  # there may be several

        return unswitched(loop, with_scan)

    def visit_ListComp(self, node: ast.ListComp) -> ast.expr:
        """The list, or the choice between it and a scan."""
        plain = copy.deepcopy(node)
        self.generic_visit(plain)
        try:
            return _listed(node, plain)
        except Stays:
            return plain


class _Loop:
    """``loop``, or one branch of it, whose attributes have ``names``; ``plain`` is what it was."""

    def __init__(
        self, loop: ast.For, plain: ast.For, function: ast.FunctionDef, names: dict[str, str]
    ) -> None:
        self.loop, self.plain, self.names = loop, plain, names
        self.target = target_names(loop.target)
        own, self.outputs = flat(self.target), list[tuple[str, str, int]]()
        self.added: list[str] = []  # what each output is added to
        if loop.orelse or any(isinstance(child, BARRED) for child in ast.walk(loop)):
            raise Stays
        first = Names(loop.body, own)
        statements = [self._output(each, first.carried) for each in loop.body]
        slices = Slices(own)
        self.body: list[ast.stmt] = [slices.visit(statement) for statement in statements]
        self.slices = slices.found
        found = Names(self.body, own)
        for statement in self.body:
            check(statement, own, found.stored)
        made = {f"_pipeline_y{k}" for k in range(len(self.added))}
        self.carried, self.changed = found.carried, sorted(found.changed & set(found.carried))
        self.used = sorted(found.read & set(own))
        after = _read_after(plain, function, set(own)) | set(names)
        self.last = sorted((found.stored - set(self.carried) - made) & after)
        fixed = {name for x, number, _ in self.slices for name in (x, number)}
        fixed |= {number for _, number, _ in self.outputs}
        if found.stored & fixed or after & set(own):
            raise Stays
        if (found.read | found.stored) & set(self.added) or len({*self.added}) < len(self.added):
            raise Stays

    def _output(self, statement: ast.stmt, carried: Sequence[str]) -> ast.stmt:
        """``ys.append(value)`` and the like as the output of a step."""
        found = appended(statement, flat(self.target))
        if found is None:
            return statement
        name, value, output = found
        if output[0] == "append" and name not in carried and is_local(name, self.loop.body):
            return statement  # a list of one step
        self.added.append(name)
        self.outputs.append(output)
        target = ast.Name(f"_pipeline_y{len(self.added) - 1}", ast.Store())
        return ast.fix_missing_locations(ast.copy_location(ast.Assign([target], value), statement))

    def with_scan(self) -> ast.stmt:
        """The scan if it can be, else the loop."""
        ys = [*(f"_pipeline_y{k}" for k in range(len(self.added))), *self.last]
        outputs = [*self.outputs, *(("last", "", 0) for _ in self.last)]
        read = [f"_pipeline_x{k}" for k in range(len(self.slices))]
        state = _tuple(self.carried)
        outer = _tuple([self.names.get(name, name) for name in self.carried])
        last = [self.names.get(name, name) for name in self.last]
        before = _tuple([*self.added, *("()" for _ in last)])
        xs = _tuple([x for x, _, _ in self.slices])
        begin = self._beginning()
        unpacked = f"{state} = _pipeline_state"
        unpacked += "".join(f"; {name} = _pipeline_roll.own({name})" for name in self.changed)
        source = f"""
if True:
    _pipeline_it = ()
    _pipeline_steps, _pipeline_done = _pipeline_roll.over(_pipeline_it), None
    if _pipeline_steps is not None:
        def _pipeline_begin(_pipeline_state, _pipeline_item, _pipeline_x):
            {unpacked}
            {_tuple(read)} = _pipeline_x
            return {state}
        def _pipeline_step(_pipeline_state, _pipeline_item, _pipeline_x):
            {unpacked}
            {_tuple(read)} = _pipeline_x
            return {state}, {_tuple(ys)}
        _pipeline_done = _pipeline_roll.scan(
            _pipeline_steps, _pipeline_step, {"_pipeline_begin" if begin else None},
            lambda: ({outer}, {xs}, {before}),
            {[(number, axis) for _, number, axis in self.slices]}, {outputs},
            {self.target!r}, {self.used},
        )
    if _pipeline_done is not None:
        {outer}, {_tuple([*self.added, *last])} = _pipeline_done
    else:
        pass
"""
        (whole,) = ast.parse(source).body
        for child in ast.walk(whole):
            if hasattr(child, "lineno"):
                ast.copy_location(child, self.plain)
        assert isinstance(whole, ast.If)
        assigned, _, tried, choice = whole.body
        assert isinstance(assigned, ast.Assign)
        assert isinstance(tried, ast.If)
        assert isinstance(choice, ast.If)
        assigned.value = copy.deepcopy(self.plain.iter)
        item = ast.Assign([copy.deepcopy(self.loop.target)], ast.Name("_pipeline_item", ast.Load()))
        for function, body in zip(tried.body, (begin, self.body), strict=False):
            assert isinstance(function, ast.FunctionDef)
            function.body[-1:-1] = [ast.copy_location(copy.deepcopy(item), self.plain), *body]
        if not begin:
            del tried.body[0]
        # The loop as it was goes over the same sequence.
        loop = copy.deepcopy(self.plain)
        loop.iter = ast.copy_location(ast.Name("_pipeline_it", ast.Load()), self.plain.iter)
        choice.orelse = [loop]
        return ast.fix_missing_locations(whole)

    def _beginning(self) -> list[ast.stmt]:
        """The statements up to the last that asks for the first state, if they do no more."""
        asking = [k for k, each in enumerate(self.body) if asks_for_none(each)]
        if not asking:
            return []
        some = self.body[: asking[-1] + 1]
        others = [each for each in some if not asks_for_none(each)]
        made = {f"_pipeline_y{k}" for k in range(len(self.added))}
        if Names(others, ()).stored & {*self.carried, *made}:
            return []
        return copy.deepcopy(some)


def _name_attributes(loop: ast.For) -> dict[str, str]:
    """Give each attribute that ``loop`` sets, as ``self.h``, a name within it."""
    set_names = Names(loop.body, ()).stored
    texts = {
        ast.unparse(node)
        for node in ast.walk(loop)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id not in set_names
    }
    names = {text: f"_pipeline_a{k}" for k, text in enumerate(sorted(texts))}

    class Naming(ast.NodeTransformer):
        def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
            name = names.get(ast.unparse(node))
            if name is not None:
                return ast.copy_location(ast.Name(name, node.ctx), node)
            self.generic_visit(node)
            return node

    loop.body = [Naming().visit(statement) for statement in loop.body]
    return {name: text for text, name in names.items()}


def _read_after(loop: ast.For, function: ast.FunctionDef, own: set[str]) -> set[str]:
    """The names that are read after ``loop``, or before it in a loop around it.

    Other loops may have targets of the same name: what they read of it is their own.
    """
    inside = {id(node) for node in ast.walk(loop)}
    around = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.For | ast.While)
        and any(child is loop for child in ast.walk(node))
        and node is not loop
    ]
    near = {id(child) for node in around for child in ast.walk(node)}
    found: set[str] = set()

    def look(node: ast.AST, theirs: frozenset[str]) -> None:
        if id(node) in inside:
            return
        if isinstance(node, ast.For) or hasattr(node, "generators"):
            targets = [node.target] if isinstance(node, ast.For) else []
            targets += [each.target for each in getattr(node, "generators", [])]
            names = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
            theirs = theirs | (names & own)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            late = node.lineno > (loop.end_lineno or loop.lineno) or id(node) in near
            if late and node.id not in theirs:
                found.add(node.id)
        for child in ast.iter_child_nodes(node):
            look(child, theirs)

    look(function, frozenset())
    return found


def _listed(node: ast.ListComp, plain: ast.ListComp) -> ast.expr:
    """A list comprehension, or the scan that makes the same."""
    generators = node.generators
    barred = (*BARRED, ast.Lambda)
    if len(generators) != 1 or generators[0].ifs or generators[0].is_async:
        raise Stays
    for child in ast.walk(node):
        if isinstance(child, barred) or (isinstance(child, ast.Name) and child.id == "super"):
            raise Stays
    target = target_names(generators[0].target)
    slices = Slices(flat(target))
    element = slices.visit(copy.deepcopy(node.elt))
    check(
        ast.copy_location(ast.Assign([ast.Name("_", ast.Store())], element), node),
        flat(target),
        set(),
    )
    used = sorted(Names([ast.Expr(element)], ()).read & set(flat(target)))
    read = _tuple([f"_pipeline_x{k}" for k in range(len(slices.found))])
    xs = _tuple([x for x, _, _ in slices.found])
    source = f"""_pipeline_roll.listed(
        _pipeline_it, lambda _pipeline_it: _pipeline_plain,
        lambda _pipeline_item, _pipeline_x: [
            _pipeline_element for _pipeline_target, {read} in [(_pipeline_item, _pipeline_x)]][0],
        lambda: {xs}, {[(number, axis) for _, number, axis in slices.found]}, {target!r}, {used})"""
    call = ast.parse(source, mode="eval").body
    for child in ast.walk(call):
        if hasattr(child, "lineno"):
            ast.copy_location(child, node)
    assert isinstance(call, ast.Call)
    old, one = call.args[1], call.args[2]
    assert isinstance(old, ast.Lambda)
    assert isinstance(one, ast.Lambda)
    call.args[0] = plain.generators[0].iter
    again = copy.deepcopy(plain)
    again.generators[0].iter = ast.copy_location(
        ast.Name("_pipeline_it", ast.Load()), plain.generators[0].iter
    )
    old.body = again
    assert isinstance(one.body, ast.Subscript)
    assert isinstance(one.body.value, ast.ListComp)
    made = one.body.value
    made.elt = element
    assert isinstance(made.generators[0].target, ast.Tuple)
    made.generators[0].target.elts[0] = copy.deepcopy(generators[0].target)
    return call


def _tuple(names: Sequence[str]) -> str:
    return f"({', '.join(names)},)" if names else "()"
