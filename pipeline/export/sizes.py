"""Python's functions of numbers, for sizes that a graph leaves open."""

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import SymFloat, SymInt, Tensor, nn
from torch._higher_order_ops.scan import scan
from torch.overrides import TorchFunctionMode

from pipeline.export.open_scan import open_scan
from pipeline.export.steps import KINDS, OPENING

_SYMBOLS = (SymInt, SymFloat)


def _is_traced(value: object) -> bool:
    """Whether ``value`` is a number that ``torch.jit.trace`` follows, as a tensor."""
    return (
        isinstance(value, Tensor) and value.dim() == 0 and torch._C._get_tracing_state() is not None
    )


def _len(value: Any, /) -> Any:
    if isinstance(value, KINDS):
        return value.count
    if isinstance(value, Tensor) and value.dim():
        return value.size(0)
    return len(value)


def _int(*args: Any, **options: Any) -> Any:
    if len(args) == 1 and isinstance(args[0], _SYMBOLS):
        return torch.sym_int(args[0])
    if len(args) == 1 and _is_traced(args[0]):
        return args[0].long()
    return int(*args, **options)


def _float(*args: Any) -> Any:
    if args and isinstance(args[0], _SYMBOLS):
        return torch.sym_float(args[0])
    if args and _is_traced(args[0]):
        return args[0].double()
    return float(*args)


def _extreme(
    plain: Callable[..., Any], symbolic: Callable[..., Any], traced: Callable[..., Any]
) -> Callable[..., Any]:
    def chosen(*args: Any, **options: Any) -> Any:
        if len(args) < 2 or options:
            return plain(*args, **options)
        if any(isinstance(arg, _SYMBOLS) for arg in args):
            first, *others = args
            for other in others:
                first = symbolic(first, other)
            return first
        if any(map(_is_traced, args)):
            first, *others = map(torch.as_tensor, args)
            for other in others:
                first = traced(first, other)
            return first
        return plain(*args)

    return chosen


def _rounded(plain: Callable[..., int], traced: Callable[..., Any]) -> Callable[..., Any]:
    def rounded(value: Any, /) -> Any:
        return traced(value).long() if _is_traced(value) else plain(value)

    return rounded


def _round(value: Any, digits: int | None = None) -> Any:
    if digits is None and _is_traced(value):
        return torch.round(value).long()
    return round(value, digits)


def _sqrt(value: Any, /) -> Any:
    if isinstance(value, _SYMBOLS):
        return value**0.5
    return torch.sqrt(value) if _is_traced(value) else math.sqrt(value)


def _divmod(a: Any, b: Any, /) -> Any:
    if isinstance(a, _SYMBOLS) or isinstance(b, _SYMBOLS) or _is_traced(a) or _is_traced(b):
        return a // b, a % b
    return divmod(a, b)


class TracedData(TorchFunctionMode):
    """``x.data`` as a tensor that ``torch.jit.trace`` follows; it loses PyTorch's own."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer that attribute, leave all else alone."""
        if func == _DATA and torch._C._get_tracing_state() is not None:
            return args[0].detach()
        return func(*args, **(kwargs or {}))


_DATA = Tensor.data.__get__  # type: ignore[attr-defined]


def keeping_sizes(module: nn.Module) -> dict[Any, Callable[..., Any]]:
    """Functions that keep a size open, in place of those that make a plain number of it."""
    constants = {id(tensor): tensor for tensor in module.state_dict(keep_vars=True).values()}

    def numbers(plain: Callable[..., Any]) -> Callable[..., Any]:
        """Lengths are often given as a list; what takes one takes the tensor as well."""

        def kept(tensor: Tensor, *args: Any, **options: Any) -> Any:
            integers = not tensor.is_floating_point() and tensor.dtype != torch.bool
            if integers and tensor.dim() == 1 and id(tensor) not in constants:
                return tensor
            return plain(tensor, *args, **options)

        return kept

    return {
        builtins.len: _len,
        builtins.int: _int,
        builtins.float: _float,
        builtins.max: _extreme(max, torch.sym_max, torch.maximum),
        builtins.min: _extreme(min, torch.sym_min, torch.minimum),
        builtins.divmod: _divmod,
        builtins.round: _round,
        math.sqrt: _sqrt,
        math.ceil: _rounded(math.ceil, torch.ceil),
        math.floor: _rounded(math.floor, torch.floor),
        **OPENING,
        scan: open_scan,
        Tensor.tolist: numbers(Tensor.tolist),
        Tensor.numpy: numbers(Tensor.numpy),
    }
