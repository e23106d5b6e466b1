"""Indices that are states: where a ring buffer reads and writes, as the graph works it out."""

from typing import Any

import torch
from torch import Tensor

from pipeline.export.function_mode import Function, FunctionMode


class TensorIndices(FunctionMode):
    """``buffer[i]`` and ``buffer[:, i] = x`` for a tensor ``i`` without axes, kept a tensor.

    PyTorch takes such an index for a number of Python, which a graph would have to know when it is
    made. The operators that index by tensors give the same.
    """

    def answer(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer the two, leave all others alone."""
        name = getattr(func, "__name__", "")
        if name in ("__getitem__", "__setitem__"):
            target, index, *value = args
            parts = index if isinstance(index, tuple) else (index,)
            places = [part if _is_place(part) else None for part in parts]
            if any(place is not None for place in places) and all(
                isinstance(part, slice) or _is_place(part) for part in parts
            ):
                slices = tuple(part if isinstance(part, slice) else slice(None) for part in parts)
                view = target[slices]
                if not value:
                    return torch.ops.aten.index.Tensor(view, places)
                new = torch.as_tensor(value[0], dtype=view.dtype)
                return torch.ops.aten.index_put_(view, places, new)
        return func(*args, **kwargs)


def _is_place(part: Any) -> bool:
    """Whether an index is an integer in a tensor without axes."""
    integer = isinstance(part, Tensor) and not part.dim() and not part.is_floating_point()
    return integer and part.dtype is not torch.bool
