"""Names of a package that are imported when they are asked for, and not before.

A run that finds nothing changed needs no PyTorch, whose import takes longer than all it does.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def later(package: str, names: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The ``__getattr__`` of ``package``, for ``names`` by the module of it that has them."""
    modules = {name: module for module, its in names.items() for name in its}

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return get
