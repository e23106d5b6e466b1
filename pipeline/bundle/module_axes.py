"""The dynamic axes of a user's module: what each is, and at which sizes the module runs."""

from typing import Any

import torch

from pipeline.contract.tensors import Axis
from pipeline.export.state import Explicit, eagerly


def axes_of(explicit: Explicit) -> dict[str, Axis]:
    """The axes of the contract of ``explicit``, by name.

    The module is tried at other sizes of those that are neither batch nor time. A convolution has
    a smallest size, and what halves an axis and doubles it again takes multiples alone.
    """
    contract = explicit.contract
    given = {axis for spec in contract.inputs for axis in spec.shape if isinstance(axis, str)}
    named = {axis for spec in contract.outputs for axis in spec.shape if isinstance(axis, str)}
    roles: dict[str | None, Any] = {contract.batch: "batch", contract.time: "time"}
    return {
        name: Axis(role=roles[name])
        if name in roles
        else _tried(explicit, name)
        if name in given
        else Axis(role="size")
        for name in sorted(given | named)
    }


def _tried(explicit: Explicit, name: str) -> Axis:
    """The axis of an input that is a plain size."""
    own = next(
        explicit.example[spec.name].size(spec.shape.index(name))
        for spec in explicit.contract.inputs
        if name in spec.shape
    )
    steps = [2**k for k in range(own.bit_length()) if own % 2**k == 0]
    with eagerly(explicit.module):
        multiple = next(
            (m for m in steps if all(_runs(explicit, name, own + k * m) for k in (1, 2))), own
        )
        most, least = own // multiple, 0  # the module runs at most, and not at least
        while most - least > 1:
            half = (most + least) // 2
            if _runs(explicit, name, half * multiple):
                most = half
            else:
                least = half
    return Axis(role="size", smallest=most * multiple, multiple=multiple)


def _runs(explicit: Explicit, name: str, size: int) -> bool:
    """Whether the module gives numbers at another size of the axis ``name``."""
    given = []
    for spec in explicit.contract.inputs:
        tensor = explicit.example[spec.name]
        for axis, symbol in enumerate(spec.shape):
            if symbol == name:
                places = torch.arange(size) % tensor.size(axis)
                tensor = tensor.index_select(axis, places)
        given.append(tensor)
    try:
        return all(y.numel() for y in explicit.module(*given))
    except Exception:  # a module may refuse a size in any way
        return False
