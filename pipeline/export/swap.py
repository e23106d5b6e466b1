"""The recurrent layers and packed sequences of one module, made exportable for a while.

Only that module changes, and only calls of this thread: torch's own classes stay as they are.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode

from pipeline.cells import ENTRIES
from pipeline.errors import MalformedError
from pipeline.export.recurrent import OnnxLayers

_CLASSES = tuple(entry.layer() for entry in ENTRIES.values())
_STAND_IN = "onnx"  # the child that a recurrent layer has during an export


@contextmanager
def exportable(module: nn.Module) -> Iterator[None]:
    """Compute the recurrent layers inside ``module`` by ONNX's operators.

    The layers stay where they are, with their attributes and hooks. Each gets a child with its
    weights in ONNX's layout, and a ``forward`` of its own that runs the child. A layer whose class
    has written a ``forward`` goes on running that one; PyTorch's, which it calls, is then the one
    that runs the child.
    """
    layers: list[nn.RNNBase] = [layer for layer in module.modules() if isinstance(layer, _CLASSES)]
    classes = [type(layer) for layer in layers]
    plain = [layer for layer in layers if _runs_pytorchs_forward(layer)]
    try:
        for layer in layers:
            layer.add_module(_STAND_IN, OnnxLayers(layer))
            if layer in plain:
                vars(layer)["forward"] = _forward.__get__(layer)
            else:
                layer.__class__ = _with_forward_below(type(layer))
        with OnnxFunctions(layers):
            yield
    finally:
        for layer, its_class in zip(layers, classes, strict=True):
            layer.__class__ = its_class
            layer._modules.pop(_STAND_IN, None)
        for layer in plain:
            vars(layer).pop("forward", None)


def _runs_pytorchs_forward(layer: nn.RNNBase) -> bool:
    forwards = [kind.forward for kind in _CLASSES]
    return "forward" not in vars(layer) and type(layer).forward in forwards


def _with_forward_below(its_class: type[nn.RNNBase]) -> type[nn.RNNBase]:
    """A class like ``its_class``, whose ``super().forward`` is :func:`_forward`.

    Python looks methods up in a class, then in its bases from left to right, but in a base only
    after its subclasses. So a subclass of PyTorch's class, named as a second base, comes between
    ``its_class`` and PyTorch's.
    """
    kind: Any = next(base for base in its_class.__mro__ if base in _CLASSES)

    def check_forward_args(self: nn.RNNBase, x: Any, hidden: Any, batch_sizes: Any) -> None:
        if batch_sizes is None:  # a packed sequence is padded, which PyTorch's check refuses
            kind.check_forward_args(self, x, hidden, None)

    methods = {"forward": _forward, "check_forward_args": check_forward_args}
    return type(its_class.__name__, (its_class, type(kind.__name__, (kind,), methods)), {})


def _forward(self: nn.RNNBase, input: Any, hx: Any = None) -> Any:
    return _run(self, cast(OnnxLayers, self._modules[_STAND_IN]), input, hx)


def _run(
    layer: nn.RNNBase, onnx: OnnxLayers, input: Tensor | PackedSequence, hx: Any
) -> tuple[Tensor | PackedSequence, Any]:
    """What ``layer`` gives for ``input`` and ``hx``, in any of the forms that PyTorch takes."""
    packed = input if isinstance(input, PackedSequence) else None
    x = packed.data if packed is not None else input
    assert isinstance(x, Tensor)
    rows = list(hx) if isinstance(hx, tuple | list) else [] if hx is None else [hx]
    lengths = None
    batched = x.dim() == 3
    if packed is not None:
        lengths = _lengths(packed).to(torch.int32)
        if packed.sorted_indices is not None:
            rows = [row.index_select(1, packed.sorted_indices) for row in rows]
    else:
        if not batched:
            x, rows = x[None] if layer.batch_first else x[:, None], [row[:, None] for row in rows]
        if rows:
            state: Any = tuple(rows) if onnx.entry.has_c else rows[0]
            layer.check_forward_args(x, state, None)
        if layer.batch_first:
            x = x.transpose(0, 1)
    per_layer = [row.split(2 if layer.bidirectional else 1) for row in rows]
    starts = list(zip(*per_layer, strict=True)) if rows else [()] * layer.num_layers
    y, ends = onnx(x, starts, lengths)
    rows = [torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*ends, strict=True)]
    output: Tensor | PackedSequence
    if packed is not None:
        if packed.unsorted_indices is not None:
            rows = [row.index_select(1, packed.unsorted_indices) for row in rows]
        output = packed._replace(data=y)
    else:
        y = y.transpose(0, 1) if layer.batch_first else y
        output = y if batched else y.squeeze(0 if layer.batch_first else 1)
        rows = rows if batched else [row.squeeze(1) for row in rows]
    return output, tuple(rows) if onnx.entry.has_c else rows[0]


class OnnxFunctions(TorchFunctionMode):
    """torch's functions of packed sequences and recurrent layers, by what ONNX has.

    ONNX has sequence lengths and no packing. So packed sequences hold the padded batch: ``data`` is
    ``[time, batch, …]`` and every row of ``batch_sizes`` ``[time, batch]`` holds the lengths. What
    works on each element of ``data`` alone (dropout, embedding, linear layers) needs no change.

    A class may also call ``nn.LSTM.forward(self, …)`` by name. That runs PyTorch's own code up to
    the kernel, which gets the weights of one of ``layers``; the child of that layer runs instead.
    """

    def __init__(self, layers: Sequence[nn.RNNBase]) -> None:
        super().__init__()
        self.layers = layers
        self.batch_sizes: list[Tensor] = []  # of all that was packed

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer the functions named here, leave all others alone."""
        name = getattr(func, "__name__", "")
        if name == "_pack_padded_sequence":
            return self.pack(*args, **(kwargs or {}))
        if name == "_pad_packed_sequence":
            return self.pad(*args, **(kwargs or {}))
        if name == "__getitem__" and any(args[0] is sizes for sizes in self.batch_sizes):
            return args[0].size(1)  # PyTorch asks for the first batch size: that of all streams
        for layer in self.layers:  # whose mode is called as its kernel, in capital letters
            if name == layer.mode.lower() and any(value is layer._flat_weights for value in args):
                return self.run(layer, *args)
        return func(*args, **(kwargs or {}))

    def run(self, layer: nn.RNNBase, *args: Any) -> tuple[Tensor, ...]:
        """A kernel: ``(x, hx, weights, …)``, or ``(data, batch_sizes, hx, weights, …)``."""
        if args[2] is layer._flat_weights:
            y, state = _forward(layer, *args[:2])
        else:
            packed, state = _forward(layer, PackedSequence(*args[:2]), args[2])
            y = packed.data
        return (y, *state) if isinstance(state, tuple) else (y, state)

    def pack(self, input: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
        """``torch._C._VariableFunctions._pack_padded_sequence``."""
        data = input.transpose(0, 1) if batch_first else input
        self.batch_sizes.append(lengths.expand(data.size(0), data.size(1)))
        return data, self.batch_sizes[-1]

    def pad(
        self,
        data: Tensor,
        batch_sizes: Tensor,
        batch_first: bool,
        padding_value: float,
        total_length: int,
    ) -> tuple[Tensor, Tensor]:
        """``torch._C._VariableFunctions._pad_packed_sequence``; ``[time, …]``, as it was packed."""
        lengths = batch_sizes.select(0, 0)
        steps = torch.arange(data.size(0), device=data.device)[:, None]
        inside = (steps < lengths).reshape(*batch_sizes.shape, *[1] * (data.dim() - 2))
        padded = torch.where(inside, data, torch.full_like(data[:1, :1], padding_value))
        if total_length != data.size(0):
            missing = total_length - data.size(0)
            after = padded.new_full((missing, *padded.shape[1:]), padding_value)
            padded = torch.cat([padded, after])
        return padded.transpose(0, 1) if batch_first else padded, lengths


def _lengths(packed: PackedSequence) -> Tensor:
    if packed.batch_sizes.dim() != 2:
        raise MalformedError(
            "its PackedSequence was not made by pack_padded_sequence inside forward; take the "
            "padded batch and a tensor of lengths as inputs and pack them there"
        )
    return packed.batch_sizes.select(0, 0)
