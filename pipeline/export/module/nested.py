"""Values that hold tensors: tuples, lists, mappings, named tuples and dataclasses, nested.

PyTorch has its own trees of such values, yet a dataclass has to be registered there, for the whole
process. These need nothing of the process.
"""

import copy
import dataclasses
import enum
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from pipeline.errors import MalformedError

_DEPTH = 4  # of the objects in whose attributes tensors are looked for

Path = tuple[str | int, ...]  # names of parameters, keys and fields, and places in sequences


def is_tensor(leaf: object) -> bool:
    """Whether a leaf of nested inputs or outputs is a tensor."""
    return isinstance(leaf, Tensor)


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """What lies in ``value``, in order, each with the path to it."""
    parts = _parts(value)
    if parts is None:
        yield path, value
    else:
        for key, part in parts:
            yield from leaves(part, (*path, key))


def tensors_of(value: object) -> list[Tensor]:
    """The tensors in nested inputs or outputs, in order."""
    return [leaf for _, leaf in leaves(value) if is_tensor(leaf)]


def holds_tensors(value: object, depth: int = _DEPTH) -> bool:
    """Whether tensors lie in ``value``, or in attributes of objects in it."""
    for _, leaf in leaves(value):
        if is_tensor(leaf):
            return True
        attributes = {} if isinstance(leaf, type | enum.Enum) else getattr(leaf, "__dict__", {})
        if depth and holds_tensors(dict(attributes), depth - 1):
            return True
    return False


def results_of(value: object, name: str) -> dict[Path, Tensor]:
    """The tensors that a module of the class ``name`` gave, by their paths; None counts as nothing.

    Raises:
        MalformedError: something in ``value`` is no tensor.
    """
    found = {path: leaf for path, leaf in leaves(value) if leaf is not None}
    for leaf in found.values():
        if not is_tensor(leaf):
            raise MalformedError(
                f"{name} gives a {type(leaf).__name__}, which a graph cannot; give tensors only"
                + (", after pad_packed_sequence" if isinstance(leaf, PackedSequence) else "")
            )
    return found


def rebuilt(value: Any, others: Iterator[Any]) -> Any:
    """A value like ``value`` with the next of ``others`` in the place of each leaf."""
    parts = _parts(value)
    if parts is None:
        return next(others)
    items = [rebuilt(part, others) for _, part in parts]
    if isinstance(value, tuple):
        return value._make(items) if hasattr(value, "_make") else type(value)(items)
    new = copy.copy(value)
    if isinstance(value, Mapping):
        for key, item in zip(value.keys(), items, strict=True):  # some iterate otherwise
            new[key] = item
    elif isinstance(value, list):
        new[:] = items
    else:  # a dataclass, which may be frozen
        for (key, _), item in zip(parts, items, strict=True):
            object.__setattr__(new, str(key), item)
    return new


def with_tensors(value: Any, tensors: Sequence[Tensor]) -> Any:
    """A value like ``value`` with other tensors, and what is no tensor as it was."""
    others = iter(tensors)
    return rebuilt(
        value, (next(others) if is_tensor(leaf) else leaf for _, leaf in list(leaves(value)))
    )


def is_plain(value: Any) -> bool:
    """Whether ``value`` is made of tensors, tuples, and lists and dictionaries of one type."""
    return _type_of(value) is not None


def _type_of(value: Any) -> Any:
    """The type that TorchScript has for ``value``, in any form; None where it has none."""
    if isinstance(value, Tensor):
        return Tensor
    if type(value) is tuple:
        types = [_type_of(part) for part in value]
        return None if None in types else (tuple, *types)
    if type(value) is dict and not all(isinstance(key, str) for key in value):
        return None
    if type(value) in (list, dict):
        within = {_type_of(part) for part in (value.values() if type(value) is dict else value)}
        return (type(value), *within) if len(within) == 1 and None not in within else None
    return None


def names_of(paths: Sequence[Path]) -> list[str]:
    """A name for each path: its last key, with a number where a sequence lies below it.

    Where two keys are the same, the names are the whole paths.
    """
    seen: Counter[Path] = Counter()
    names = []
    for path in paths:
        last = max(place for place, key in enumerate(path) if isinstance(key, str))
        name, below = str(path[last]), path[: last + 1]
        names.append(f"{name}_{seen[below]}" if len(path) > len(below) else name)
        seen[below] += 1
    count = Counter(names)
    return [
        "_".join(map(str, path)) if count[name] > 1 else name
        for name, path in zip(names, paths, strict=True)
    ]


def numbered(paths: Sequence[Path]) -> list[str]:
    """Plainer names: the first key of each path, with a number where a path goes on."""
    seen: Counter[str | int] = Counter()
    names = []
    for path in paths:
        names.append(f"{path[0]}_{seen[path[0]]}" if len(path) > 1 else str(path[0]))
        seen[path[0]] += 1
    return names


def _parts(value: Any) -> list[tuple[str | int, Any]] | None:
    """The parts of ``value`` with the key of each, None for a leaf."""
    if isinstance(value, PackedSequence):
        return None
    if isinstance(value, Mapping):  # before dataclasses, since some mappings are both
        return [
            (key if isinstance(key, str) else place, part)
            for place, (key, part) in enumerate(value.items())
        ]
    if isinstance(value, tuple | list):
        return list(zip(getattr(value, "_fields", range(len(value))), value, strict=True))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return None
