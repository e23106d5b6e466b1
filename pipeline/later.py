"""Lazy names of a package: their modules are imported at the first access.

A run that finds nothing changed then does without PyTorch, whose import takes longer than the run.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any


def later(package: str, names: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The ``__getattr__`` of ``package`` for lazy names; ``names`` lists them by module.

    The names of the module ``""`` are modules themselves.
    """
    modules = {name: module for module, its in names.items() for name in its}

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if not modules[name]:
            return import_module(f"{package}.{name}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return get


def call_later(package: str, module: str, function: str) -> None:
    """Make ``package`` a function, too: it calls ``function`` of ``module``, imported then."""

    class Called(ModuleType):
        def __call__(self, *arguments: Any, **options: Any) -> Any:
            return getattr(import_module(module), function)(*arguments, **options)

    sys.modules[package].__class__ = Called
