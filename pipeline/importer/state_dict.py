"""The state dict in the content of a weights file, wherever a trainer put it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.cells import BY_OPERATOR
from pipeline.errors import MalformedError, PipelineError, UnsafeError, UsageError, either, unknown
from pipeline.importer.advice import USUAL_KEYS, keep_weights
from pipeline.importer.placeholders import Placeholder

_USUAL = ("", *USUAL_KEYS)  # "" at the top
_PREFIXES = ("module.", "model.", "_orig_mod.")  # DataParallel, Lightning, torch.compile

# A weight or bias of a recurrent layer, or of a cell, which has no number.
RECURRENT = re.compile(
    r"(?:(?P<stack>.+)\.)?(?P<what>(?:weight|bias)_(?:ih|hh|hr))"
    r"(?:_l(?P<layer>\d{1,4})(?P<reverse>_reverse)?)?"
)


class StateDict(NamedTuple):
    """Tensors by name, with what stood before all their names taken off."""

    key: str  # where in the file it was, "" at the top
    prefix: str
    tensors: dict[str, Tensor]


def find_state_dict(path: Path, content: Any, key: str | None, bytes_in_file: int) -> StateDict:
    """The state dict in ``content`` that has recurrent layers, or the one under ``key``.

    Raises:
        UsageError: there is none under ``key``, or there are several.
        MalformedError: there is none, or a tensor in it cannot be a weight.
        UnsafeError: there are whole pickled objects in its place, which were not made.
    """
    if isinstance(content, Placeholder):
        raise _whole_object(path, content, "CONTENT")
    if not isinstance(content, Mapping):
        raise MalformedError(
            f"{path} holds a {type(content).__name__}, not a state dict; save "
            "module.state_dict() with torch.save"
        )
    found = dict(_mappings(content))
    if key is not None and key not in found:
        raise unknown("state dict in the file", key, found) if found else _none(path, content)
    with_layers = [
        name for name, tensors in found.items() if any(map(RECURRENT.fullmatch, tensors))
    ]
    usual = [name for name in _USUAL if name in with_layers]
    if key is None:
        if not with_layers:
            raise _none(path, content)
        if len(with_layers) > 1 and not usual:
            raise UsageError(
                f"{path} holds the state dicts {', '.join(with_layers)}; choose by --key"
            )
        key = (usual or with_layers)[0]
    tensors = found[key]
    _check(path, tensors, bytes_in_file)
    _check_kinds(path, content[key] if key else content)
    prefix = ""
    while longer := next((p for p in _PREFIXES if all(name.startswith(p) for name in tensors)), ""):
        prefix += longer
        tensors = {name.removeprefix(longer): tensor for name, tensor in tensors.items()}
    return StateDict(key, prefix, tensors)


def _mappings(content: Mapping[Any, Any]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """What maps names to tensors, at the top and one level below."""
    for key, value in (("", content), *content.items()):
        if isinstance(key, str) and isinstance(value, Mapping):
            tensors = {
                name: item
                for name, item in value.items()
                if isinstance(name, str) and isinstance(item, Tensor)
            }
            if tensors:
                yield key, tensors


def _whole_object(path: Path, found: Placeholder, place: str) -> UnsafeError:
    what = "module" if found.is_module else "object"
    pick = f"{place}.state_dict()" if found.is_module else f"{place}.model.state_dict()"
    return UnsafeError(
        f"{path} is a whole pickled {what} ({found.path}), and loading it runs code; "
        f"{keep_weights(path, pick)}, where its class can be imported"
    )


def _none(path: Path, content: Mapping[Any, Any]) -> PipelineError:
    for key, value in content.items():
        if isinstance(value, Placeholder) and value.is_module:
            return _whole_object(path, value, f"CONTENT[{key!r}]")
    names = ", ".join(str(name)[:60] for name in list(content)[:8]) or "nothing"
    layers = either(f"nn.{operator}" for operator in BY_OPERATOR)
    return MalformedError(
        f"{path} has no weights of recurrent layers (weight_ih_l0, …); it holds {names}"
        f"{', …' if len(content) > 8 else ''}; give a state dict of a module with {layers}"
    )


def _check(path: Path, tensors: Mapping[str, Tensor], bytes_in_file: int) -> None:
    """Refuse tensors that have no numbers in the file, or far fewer than their shape says."""
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    faults = []
    for name, tensor in tensors.items():
        if tensor.device.type != "cpu":
            faults.append(f"{name} has a shape and no numbers")
        elif tensor.layout != torch.strided:
            faults.append(f"{name} is {str(tensor.layout).removeprefix('torch.')}")
    if not faults and claimed > 4 * bytes_in_file:  # tied weights are in the file once
        faults.append(f"{claimed:,} bytes of weights in a file of {bytes_in_file:,}")
    if faults:
        raise MalformedError(
            f"{path} cannot be used: {'; '.join(faults)}; save the state_dict of the module anew"
        )


def _check_kinds(path: Path, content: Mapping[Any, Any]) -> None:
    """Refuse a state dict with a weight that is no tensor, since without it the network changes."""
    for name, value in content.items():
        if isinstance(value, Placeholder) and re.search(r"(weight|bias)[^.]*$", str(name)):
            raise MalformedError(
                f"{path} cannot be used: {name} is a {value.path} and no tensor; save the "
                "state_dict of the module anew"
            )
