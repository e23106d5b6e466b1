"""The tensors among the arguments and results of ``forward``, by name."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from pipeline.errors import MalformedError, one_line
from pipeline.export.example import is_tensor
from pipeline.export.quiet import quiet_exporter
from pipeline.threads import torch_threads, weights_of


class Arguments:
    """What ``forward`` is called with; tensors may lie in tuples, lists and dictionaries.

    A tensor is called as its parameter, and ``state_0``, ``state_1`` where a parameter ``state``
    has several. Other values stay as they are.

    Raises:
        MalformedError: ``forward`` does not take these arguments.
    """

    def __init__(self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        name = type(module).__name__
        signature = inspect.signature(module.forward)
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise MalformedError(f"{name}.forward does not take these inputs: {error}") from error
        self.args, self.kwargs = pytree.tree_map(  # where the copy of the module is
            lambda leaf: leaf.detach().cpu() if is_tensor(leaf) else leaf,
            (bound.args, bound.kwargs),
        )
        self.names: list[str] = []
        self.parameters: dict[str, list[str]] = {}  # the names of the tensors of each
        for parameter, value in bound.arguments.items():
            if signature.parameters[parameter].kind is inspect.Parameter.VAR_KEYWORD:
                named = {key: _names(key, item) for key, item in value.items()}
            else:
                named = {parameter: _names(parameter, value)}
            self.parameters |= named
            self.names += [each for names in named.values() for each in names]
        self.tensors = [
            leaf for leaf in pytree.tree_leaves((self.args, self.kwargs)) if is_tensor(leaf)
        ]
        self.omitted = [  # parameters that are None here
            parameter.name
            for parameter in signature.parameters.values()
            if bound.arguments.get(parameter.name, parameter.default) is None
        ]

    def and_given(self, module: nn.Module, kwargs: Mapping[str, Any]) -> "Arguments":
        """These arguments of ``module``, with other values of parameters that were left out.

        Raises:
            MalformedError: ``forward`` does not take them.
        """
        given = inspect.signature(module.forward).bind(*self.args, **self.kwargs).arguments
        named = {key: value for key, value in given.items() if key not in kwargs}
        return Arguments(module, (), {**named, **kwargs})

    def with_tensors(self, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments, with other tensors in the places of the example's."""
        leaves, spec = pytree.tree_flatten((self.args, self.kwargs))
        others = iter(tensors)
        args, kwargs = pytree.tree_unflatten(
            [next(others) if is_tensor(leaf) else leaf for leaf in leaves], spec
        )
        return args, kwargs


@contextmanager
def eagerly(module: nn.Module) -> Iterator[None]:
    """Run ``module`` in eager PyTorch: without gradients and messages, on as few threads as do.

    What is compiled, such as ``scan``, is not, since that takes seconds for every size.
    """
    eager = torch.compiler.set_stance("force_eager")
    with torch.no_grad(), quiet_exporter(), torch_threads(weights_of(module)), eager:
        yield


def run(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], name: str) -> Any:
    """What ``module``, whose class is called ``name``, gives.

    Raises:
        MalformedError: it fails.
    """
    try:
        return module(*args, **kwargs)
    except Exception as error:
        raise MalformedError(f"{name} fails in PyTorch already: {one_line(error)}") from error


def tensors_of(results: Any, name: str) -> list[Tensor]:
    """The tensors in what ``forward`` of the class ``name`` gave, in order.

    Raises:
        MalformedError: something in it is no tensor.
    """
    leaves = pytree.tree_leaves(results, is_leaf=lambda leaf: isinstance(leaf, PackedSequence))
    for leaf in leaves:
        if not is_tensor(leaf) and leaf is not None:
            raise MalformedError(
                f"{name} gives a {type(leaf).__name__}, which a graph cannot; give tensors only"
                + (", after pad_packed_sequence" if isinstance(leaf, PackedSequence) else "")
            )
    return [leaf for leaf in leaves if leaf is not None]


def names_of_results(module: nn.Module, results: Any) -> list[str]:
    """Names of the tensors in ``results``: keys, fields, or those that ``return`` has for them.

    Without any of these, they are ``output``, or ``output_0`` and on.
    """
    parts = dict(_parts(results))
    if isinstance(module, nn.RNNCellBase):  # which gives nothing but its state
        parts = dict(zip("hc", tensors_of(results, type(module).__name__), strict=False))
    elif is_tensor(results):
        parts = {(_returned(module, 1) or ["output"])[0] or "output": results}
    elif isinstance(results, tuple | list) and not hasattr(results, "_fields"):
        words = _returned(module, len(results)) or [""] * len(results)
        parts = {
            word or f"output_{k}": part
            for k, (word, part) in enumerate(zip(words, results, strict=True))
        }
    return [name for part, value in parts.items() for name in _names(part, value)]


def _names(name: str, value: Any) -> list[str]:
    """Names of the tensors in ``value``, which is called ``name``."""
    if isinstance(value, PackedSequence):
        raise MalformedError(
            f"'{name}' is a PackedSequence, which a graph cannot take or give; take the padded "
            "batch and its lengths and pack them inside forward"
        )
    if is_tensor(value):
        return [name]
    return [each for part, item in _parts(value) for each in _names(f"{name}_{part}", item)]


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(re.sub(r"\W", "_", str(key)), item) for key, item in value.items()]
    if hasattr(value, "_fields"):
        return zip(value._fields, value, strict=True)
    if isinstance(value, tuple | list):
        return ((str(place), item) for place, item in enumerate(value))
    return []


def _returned(module: nn.Module, count: int) -> list[str]:
    """The ``count`` names in the ``return`` of ``forward``, if each of its returns has the same.

    A name is empty where the return has no plain one; without any names the list is.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(type(module).forward)))
    except (OSError, TypeError, SyntaxError):
        return []
    found, nodes = set(), list(ast.iter_child_nodes(tree.body[0]))
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Return) and node.value is not None:
            items = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            found.add(tuple(_word(item) for item in items))
        if not isinstance(node, ast.FunctionDef):  # whose returns are its own
            nodes += ast.iter_child_nodes(node)
    names = list(found.pop()) if len(found) == 1 else []
    given = [name for name in names if name]
    return names if len(names) == count and len(set(given)) == len(given) else []


def _word(node: ast.expr) -> str:
    """The name that an expression is: ``h`` of ``h`` and of ``h.detach()``."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _word(node.func.value) if node.func.attr in ("detach", "clone") else ""
    return ""
