"""ONNX translations of PyTorch's operators, collected once per process in place of once per export.

To collect them, ``torch.onnx.export`` parses the source of about five hundred functions, which
takes a third of the time of an export.
"""

import copy
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from pipeline.export.switch import Switch

_COLLECT = "from_torchlib"


def _reuse(switch: Switch) -> Callable[[], None]:
    """Let an export have a copy of the first registry; a PyTorch that has none is left as it is."""
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry
    except ImportError:
        return lambda: None
    before = vars(ONNXRegistry).get(_COLLECT)
    if not isinstance(before, classmethod):
        return lambda: None
    collect = getattr(ONNXRegistry, _COLLECT)

    def reused(*given: Any, **options: Any) -> Any:
        if not switch.is_on:
            return collect(*given, **options)
        registry = copy.copy(_collected(collect, given, tuple(options.items())))
        registry.functions = {name: [*known] for name, known in registry.functions.items()}
        return registry

    setattr(ONNXRegistry, _COLLECT, staticmethod(reused))
    return lambda: setattr(ONNXRegistry, _COLLECT, before)


@functools.cache
def _collected(
    collect: Callable[..., Any], given: tuple[Any, ...], options: tuple[tuple[str, Any], ...]
) -> Any:
    return collect(*given, **dict(options))


_REUSED = Switch(_reuse)


def reused_registry() -> AbstractContextManager[None]:
    """A block in which exports of this thread share one collection of translations."""
    return _REUSED.block()
