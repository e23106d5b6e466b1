"""The functions of a module's author, with another function in place of some that they call.

Python answers ``len(x)`` and ``int(x.size(0))`` with a plain number, whatever ``x`` is, so an
exporter that follows sizes through a graph loses them there. The author's functions are therefore
compiled once more, from their source, with every call ``f(…)`` written as ``of(f)(…)``. ``of``
chooses what is called. Lines and files stay those of the source, and nothing is replaced in the
author's files, classes or the process: only the copy of the module that is exported holds the new
functions, for the time of the export.
"""

import ast
import inspect
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any, cast

import torch
from torch import nn
from torch.distributions import Distribution

from pipeline.export.author import is_authors
from pipeline.export.control_flow.branches import Branches, Place
from pipeline.export.control_flow.forks import Forks
from pipeline.export.control_flow.loop_source import Loops
from pipeline.export.control_flow.questions import BRANCHES, Questions
from pipeline.export.control_flow.roll import Roll

_OF, _ROLL = "_pipeline_of", "_pipeline_roll"  # free variables of a compiled function


class Rewriting:
    """Functions compiled once more; ``replaced`` has others for some that they call."""

    def __init__(
        self, replaced: Mapping[Any, Callable[..., Any]], roll: Roll, branches: Branches
    ) -> None:
        self.roll, self.branches = roll, branches
        self._replaced = {id(function): (function, new) for function, new in replaced.items()}
        self._new: dict[FunctionType, FunctionType] = {}  # old to new, and new to itself

    @contextmanager
    def within(self, module: nn.Module) -> Iterator[None]:
        """Let every submodule run its ``forward`` compiled once more, for a while."""
        before: list[tuple[dict[str, Any], Any]] = []
        try:
            for child in module.modules():
                if isinstance(child, torch.jit.ScriptModule):
                    continue
                new = self.of(child.forward)
                if new is not child.forward and new != child.forward:
                    before.append((vars(child), vars(child).get("forward")))
                    vars(child)["forward"] = new
            yield
        finally:
            for attributes, forward in reversed(before):
                if forward is None:
                    del attributes["forward"]
                else:
                    attributes["forward"] = forward

    def of(self, function: Any) -> Any:
        """What runs where ``function`` is called."""
        if torch.compiler.is_dynamo_compiling():  # which follows sizes by itself
            return function
        if id(function) in self._replaced:
            return self._replaced[id(function)][1]
        if isinstance(function, type) and issubclass(function, Distribution):
            return partial(_without_validation, function)
        if isinstance(getattr(function, "__self__", None), torch.Tensor):
            method = getattr(torch.Tensor, function.__name__, None)
            replaced = self._replaced.get(id(method))
            return partial(replaced[1], function.__self__) if replaced else function
        if isinstance(function, MethodType) and isinstance(function.__func__, FunctionType):
            new = self._compiled(function.__func__)
            return function if new is function.__func__ else MethodType(new, function.__self__)
        return self._compiled(function) if isinstance(function, FunctionType) else function

    def _compiled(self, function: FunctionType) -> FunctionType:
        if function not in self._new:
            new = function
            if is_authors(function.__code__.co_filename):
                new = self._from_source(function) or function
            elif "__wrapped__" in vars(function):
                new = self._around(function)
            self._new[function] = self._new[new] = new
        return self._new[function]

    def _around(self, wrapper: FunctionType) -> FunctionType:
        """PyTorch's wrapper of an author's function, ``@torch.no_grad()``, around the new one."""
        wrapped = vars(wrapper)["__wrapped__"]
        cells = [
            CellType(self.of(wrapped)) if _content(cell) is wrapped else cell
            for cell in wrapper.__closure__ or ()
        ]
        return _copy(wrapper, wrapper.__code__, cells)

    def _from_source(self, function: FunctionType) -> FunctionType | None:
        """``function`` compiled once more, None where its source is not to be had."""
        try:
            code = _compiled(function, self.branches.places)
        except (OSError, SyntaxError, TypeError, ValueError, LookupError, tokenize.TokenError):
            return None
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        cells[_OF], cells[_ROLL] = CellType(self.of), CellType(self.roll)
        cells[BRANCHES] = CellType(self.branches)
        if any(name not in cells for name in code.co_freevars):
            return None
        return _copy(function, code, [cells[name] for name in code.co_freevars])


def _without_validation(kind: type[Distribution], *args: Any, **options: Any) -> Distribution:
    """A distribution that does not ask its numbers whether they are valid."""
    if "validate_args" in inspect.signature(kind).parameters:
        named = inspect.signature(kind).bind(*args, **options)
        named.arguments["validate_args"] = False
        args, options = named.args, named.kwargs
    return kind(*args, **options)


def _copy(function: FunctionType, code: CodeType, cells: list[CellType]) -> FunctionType:
    new = FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, tuple(cells)
    )
    new.__kwdefaults__, new.__qualname__ = function.__kwdefaults__, function.__qualname__
    new.__module__, new.__dict__ = function.__module__, function.__dict__
    new.__annotations__ = function.__annotations__
    return new


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None


class _Calls(ast.NodeTransformer):
    """Write every call ``f(…)`` as ``of(f)(…)``."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        of = ast.Name(_OF, ast.Load())
        node.func = ast.copy_location(ast.Call(of, [node.func], []), node.func)
        ast.fix_missing_locations(node)
        return node


def _compiled(function: FunctionType, places: Iterable[Place]) -> CodeType:
    """The code of ``function``, from its source, with both ways of an ``if`` at ``places``.

    It is compiled where it stood: within a class of the same name, which decides how names with
    two underscores are read, and within a function that has its free variables.
    """
    old = function.__code__
    lines, first = inspect.getsourcelines(old)
    tree = ast.parse("if True:\n" + "".join(lines) if lines[0][:1].isspace() else "".join(lines))
    definition = tree.body[0]
    if isinstance(definition, ast.If):
        definition, first = definition.body[0], first - 1
    if not isinstance(definition, ast.FunctionDef) or definition.name != old.co_name:
        raise LookupError  # a lambda, or a file that has changed since it was imported
    definition.decorator_list.clear()
    where = old.co_filename, old.co_firstlineno
    Forks(definition, [place[2:] for place in places if place[:2] == where]).visit(definition)
    definition = Loops(definition).visit(definition)
    definition.body = [
        _Calls().visit(Questions(where).visit(statement)) for statement in definition.body
    ]
    ast.increment_lineno(definition, first - 1)
    body: ast.stmt = definition
    owner = function.__qualname__.split(".")[-2:-1]
    if owner and owner[0].isidentifier():
        body = ast.ClassDef(owner[0], [], [], [body], [])
        if hasattr(body, "type_params"):  # of Python 3.12 and later
            body.type_params = []
    free = [name for name in old.co_freevars if name != "__class__"]
    names: list[ast.expr] = [ast.Name(name, ast.Store()) for name in (*free, _OF, _ROLL, BRANCHES)]
    outer = ast.parse("def _pipeline_outer():\n    pass").body[0]
    cast(ast.FunctionDef, outer).body = [ast.Assign(names, ast.Constant(None)), body]
    whole = ast.fix_missing_locations(ast.Module([outer], []))
    flags = old.co_flags & sum(f.compiler_flag for f in _futures())
    code = compile(whole, old.co_filename, "exec", flags=flags, dont_inherit=True)
    found = next(c for c in _codes(code) if c.co_name == old.co_name and c.co_flags & 3)
    count = old.co_argcount + old.co_kwonlyargcount
    if found.co_varnames[:count] != old.co_varnames[:count]:
        raise LookupError  # a file that has changed since it was imported
    return found


def _futures() -> Iterator[Any]:
    import __future__

    return (getattr(__future__, name) for name in __future__.all_feature_names)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The codes of the functions within ``code``, outer ones first."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)
