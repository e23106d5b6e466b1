"""Inert placeholders for what a checkpoint holds beside its weights.

Trainers put settings beside the weights: numpy scalars, an ``argparse.Namespace``, paths, classes
of their own. PyTorch's restricted unpickler, which runs nothing, refuses their names unless they
are told to it (``torch.serialization.safe_globals``). It is told a placeholder for each, so that
neither the class nor its module is ever imported; what the placeholder is given is dropped.
"""

import sys
from collections.abc import Iterable
from typing import Any, ClassVar

# What trainers keep beside weights, where the name alone does not tell that it is a value.
_VALUES = {
    "argparse.Namespace",
    "types.SimpleNamespace",
    "typing.Any",
    "uuid.UUID",
    "decimal.Decimal",
    "fractions.Fraction",
    *(f"datetime.{kind}" for kind in ("date", "datetime", "time", "timedelta", "timezone")),
    *(
        f"{module}.{pure}{system}Path"
        for module in ("pathlib", "pathlib._local")
        for pure in ("", "Pure")
        for system in ("", "Posix", "Windows")
    ),
    *(f"builtins.{kind}" for kind in ("bool", "bytes", "dict", "float", "frozenset", "int")),
    *(f"builtins.{kind}" for kind in ("list", "object", "range", "slice", "str", "tuple")),
    *(
        f"numpy.{core}.multiarray.{function}"
        for core in ("core", "_core")
        for function in ("scalar", "_reconstruct")
    ),
    *(f"numpy.{kind}" for kind in ("bool", "bool_", "dtype", "ndarray", "str_")),
    *(f"numpy.{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *(f"numpy.float{bits}" for bits in (16, 32, 64)),
}


class Placeholder:
    """Stands for an object that was not made; of it, only the kind is known."""

    __slots__ = ("is_module",)
    path: ClassVar[str]  # dotted name of the class that it stands for
    is_module: bool

    def __new__(cls, *_: Any) -> "Placeholder":
        """Take what the object would be made of, and drop it."""
        made = super().__new__(cls)
        made.is_module = False
        return made

    def __init__(self, *_: Any) -> None:
        """Nothing is left to do."""

    def __setstate__(self, state: Any) -> None:
        """Drop the state, whose keys tell a ``torch.nn.Module``."""
        self.is_module = isinstance(state, dict) and "_parameters" in state


def is_inert(name: str) -> bool:
    """Whether what has this dotted name is a value, for which a placeholder may stand.

    A function is none, and neither is most of the standard library: weights need nothing of it.
    """
    root, last = name.partition(".")[0], name.rpartition(".")[2].lstrip("_")
    if name in _VALUES or name.startswith(("torch.nn.functional.", "torch._C._nn.")):
        return True
    return last[:1].isupper() and root not in sys.stdlib_module_names


def placeholders(names: Iterable[str]) -> list[tuple[type[Placeholder], str]]:
    """A class of placeholders for each inert one of ``names``, for PyTorch's ``safe_globals``."""
    return [
        (type("Placeholder", (Placeholder,), {"__slots__": (), "path": name}), name)
        for name in sorted(filter(is_inert, names))
    ]
