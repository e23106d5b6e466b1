"""Python's functions of numbers, for sizes that a graph leaves open."""

import builtins
import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import SymFloat, SymInt, Tensor, nn
from torch._higher_order_ops.scan import scan

from pipeline.export.control_flow.open_scan import open_scan
from pipeline.export.control_flow.steps import KINDS, OPENING
from pipeline.export.function_mode import Function, FunctionMode

_SYMBOLS = (SymInt, SymFloat)


def _is_traced(value: object) -> bool:
    """Whether ``value`` is a number that ``torch.jit.trace`` follows, as a tensor."""
    return (
        isinstance(value, Tensor) and value.dim() == 0 and torch._C._get_tracing_state() is not None
    )


def _is_traced_size(value: object) -> bool:
    """Whether ``value`` is the size of a tensor, or computed of such, while a module is traced."""
    if not _is_traced(value) or cast(Tensor, value).dtype != torch.int64:
        return False
    found = torch._C._get_value_trace(cast(Tensor, value))  # type: ignore[attr-defined]
    waiting = [found] if found is not None else []
    for _ in range(_MOST_NODES):
        if not waiting:
            return False
        node = waiting.pop().node()
        if node.kind() == "prim::NumToTensor":
            return True
        waiting += node.inputs() if node.kind() in _ARITHMETIC else []
    return False


_MOST_NODES = 100
_ARITHMETIC = {
    f"aten::{name}"
    for name in ("add", "sub", "mul", "floor_divide", "remainder", "maximum", "minimum")
}


def _isinstance(value: Any, kinds: Any, /) -> bool:
    """A size is a number, whatever an export puts in its place."""
    if isinstance(value, SymInt) or _is_traced_size(value):
        return isinstance(0, kinds) or (isinstance(value, SymInt) and isinstance(value, kinds))
    return isinstance(value, kinds) or (isinstance(value, SymFloat) and isinstance(0.0, kinds))


class _Written:
    """Whole numbers that a module writes into a tensor, and reads back as a list."""

    def __init__(self) -> None:
        self._numbers: dict[int, tuple[Tensor, list[Any]]] = {}

    def arange(self, *args: Any, **options: Any) -> Tensor:
        """``torch.arange`` of plain numbers."""
        made = torch.arange(*args, **options)
        if args and all(type(arg) is int for arg in args) and made.dtype == torch.int64:
            self._numbers[id(made)] = made, list(range(*args))
        return made

    def tensor(self, data: Any, **options: Any) -> Tensor:
        """``torch.tensor`` of sizes."""
        made = torch.tensor(data, **options)
        whole = isinstance(data, list | tuple) and all(
            type(each) is int or isinstance(each, SymInt) or _is_traced_size(each) for each in data
        )
        if whole and made.dtype == torch.int64:
            self._numbers[id(made)] = made, list(data)
        return made

    def numbers(self, tensor: Tensor) -> list[Any] | None:
        """What was written into ``tensor``; None if that is not known."""
        return list(self._numbers[id(tensor)][1]) if id(tensor) in self._numbers else None


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
    if len(args) == 1 and isinstance(args[0], Tensor) and torch.compiler.is_exporting():
        return torch.sym_int(args[0].item())
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


class TracedData(FunctionMode):
    """``x.data`` as a tensor that ``torch.jit.trace`` follows; it loses PyTorch's own."""

    def answer(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer that attribute, leave all else alone."""
        if func == _DATA and torch._C._get_tracing_state() is not None:
            return args[0].detach()
        return func(*args, **kwargs)


_DATA = Tensor.data.__get__  # type: ignore[attr-defined]


def keeping_sizes(module: nn.Module) -> dict[Any, Callable[..., Any]]:
    """Functions that keep a size open, in place of those that make a plain number of it."""
    written = _Written()
    constants = {id(tensor): tensor for tensor in module.state_dict(keep_vars=True).values()}

    def numbers(plain: Callable[..., Any]) -> Callable[..., Any]:
        """Lengths are often given as a list; what takes one takes the tensor as well."""

        def kept(tensor: Tensor, *args: Any, **options: Any) -> Any:
            known = written.numbers(tensor)
            if known is not None and plain is Tensor.tolist:
                return known
            integers = not tensor.is_floating_point() and tensor.dtype != torch.bool
            if integers and tensor.dim() == 1 and id(tensor) not in constants:
                return tensor
            return plain(tensor, *args, **options)

        return kept

    return {
        builtins.isinstance: _isinstance,
        torch.arange: written.arange,
        torch.tensor: written.tensor,
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
