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

from pipeline.errors import MalformedError, one_line
from pipeline.export.module import arguments as export
from pipeline.export.module.nested import is_tensor, names_of, results_of
from pipeline.export.quiet import quiet_exporter
from pipeline.threads import torch_threads, weights_of


class NamedArguments(export.Arguments):
    """What ``forward`` is called with, by names: ``names`` of its tensors, those of each parameter
    in ``parameters``, and the parameters that were ``omitted``, being None.

    Raises:
        MalformedError: ``forward`` does not take these arguments, or a graph cannot.
    """

    def __init__(self, module: nn.Module, inputs: Any, kwargs: Mapping[str, Any] | None) -> None:
        super().__init__(module, inputs, kwargs)
        self.names = _words(names_of(self.paths))
        self.parameters: dict[str, list[str]] = {}
        for path, name in zip(self.paths, self.names, strict=True):
            self.parameters.setdefault(str(path[0]), []).append(name)
        self.omitted = [
            parameter.name
            for parameter in export.signature_of(module).parameters.values()
            if self.values.get(parameter.name, parameter.default) is None
        ]

    def and_given(self, module: nn.Module, kwargs: Mapping[str, Any]) -> "NamedArguments":
        """These arguments of ``module``, with other values of parameters that were left out.

        Raises:
            MalformedError: ``forward`` does not take them.
        """
        return NamedArguments(module, (), {**self.values, **kwargs})


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
    return list(results_of(results, name).values())


def names_of_results(module: nn.Module, results: Any) -> list[str]:
    """Names of the tensors in ``results``: keys, fields, or those that ``return`` has for them.

    Without any of these, they are ``output``, or ``output_0`` and on.
    """
    paths = list(results_of(results, type(module).__name__))
    if isinstance(module, nn.RNNCellBase):  # which gives nothing but its state
        return ["h", "c"][: len(paths)]
    if is_tensor(results):
        return [(_returned(module, 1) or ["output"])[0] or "output"]
    if any(isinstance(path[0], int) for path in paths):
        words = _returned(module, len(results)) or [""] * len(results)
        paths = [(words[int(place)] or f"output_{place}", *path) for place, *path in paths]
    return _words(names_of(paths))


def _words(names: Iterable[str]) -> list[str]:
    """Names in the letters of identifiers."""
    return [re.sub(r"\W", "_", name) for name in names]


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
