"""The recurrent layers and packed sequences of one module, made exportable for a while.

Only that module changes, and only calls of this thread: torch's own classes stay as they are.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from pipeline.cells import ENTRIES
from pipeline.errors import MalformedError
from pipeline.export.function_mode import Function, FunctionMode
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
    functions = OnnxFunctions(layers)
    try:
        for layer in layers:
            layer.add_module(_STAND_IN, OnnxLayers(layer))
            if layer in plain:
                vars(layer)["forward"] = partial(functions.forward, layer)
            else:
                layer.__class__ = _with_forward_below(type(layer), functions)
        with functions:
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


def _with_forward_below(
    its_class: type[nn.RNNBase], functions: "OnnxFunctions"
) -> type[nn.RNNBase]:
    """A class like ``its_class``, whose ``super().forward`` is that of ``functions``.

    Python looks methods up in a class, then in its bases from left to right, but in a base only
    after its subclasses. So a subclass of PyTorch's class, named as a second base, comes between
    ``its_class`` and PyTorch's.
    """
    kind: Any = next(base for base in its_class.__mro__ if base in _CLASSES)

    def check_forward_args(self: nn.RNNBase, x: Any, hidden: Any, batch_sizes: Any) -> None:
        if batch_sizes is None:  # a packed sequence is padded, which PyTorch's check refuses
            kind.check_forward_args(self, x, hidden, None)

    def forward(self: nn.RNNBase, input: Any, hx: Any = None) -> Any:
        return functions.forward(self, input, hx)

    methods = {"forward": forward, "check_forward_args": check_forward_args}
    return type(its_class.__name__, (its_class, type(kind.__name__, (kind,), methods)), {})


class OnnxFunctions(FunctionMode):
    """torch's functions of packed sequences and recurrent layers, by what ONNX has.

    ONNX has sequence lengths and no packing. A recurrent layer therefore gets the padded batch that
    belongs to a packed sequence, and its lengths. ``data`` is what PyTorch makes it, the steps of
    all sequences below one another; where nothing reads it, it is not in the graph.

    A class may also call ``nn.LSTM.forward(self, …)`` by name. That runs PyTorch's own code up to
    the kernel, which gets the weights of one of ``layers``; the child of that layer runs instead.
    """

    def __init__(self, layers: Sequence[nn.RNNBase]) -> None:
        super().__init__()
        self.layers = layers
        self._lengths: list[tuple[Tensor, Tensor]] = []  # batch sizes, and the lengths they are of
        self._padded: list[tuple[Tensor, Tensor]] = []  # data, and the padded batch it is made of

    def answer(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer the functions named here, leave all others alone."""
        name = getattr(func, "__name__", "")
        if torch.compiler.is_dynamo_compiling():  # the step of a scan, which packs nothing
            return func(*args, **kwargs)
        if name == "_pack_padded_sequence":
            return self.pack(*args, **kwargs)
        if name == "_pad_packed_sequence":
            return self.pad(*args, **kwargs)
        first = name == "__getitem__" and isinstance(args[1], int) and args[1] == 0
        if first and any(args[0] is sizes for sizes, _ in self._lengths):
            return self.lengths(args[0]).size(0)  # PyTorch asks for the first: that of all streams
        if name == "__getitem__" and isinstance(args[1], tuple):
            return func(args[0], _with_tensors(args[1]))
        if name == "chunk" and (pieces := _chunks(*args, **kwargs)):
            return pieces
        if name == "squeeze" and _is_longer(*args, **kwargs):
            return args[0]  # as PyTorch does; ONNX's operator fails
        for layer in self.layers:  # whose mode is called as its kernel, in capital letters
            if name == layer.mode.lower() and any(value is layer._flat_weights for value in args):
                return self.run(layer, *args)
        return func(*args, **kwargs)

    def forward(
        self, layer: nn.RNNBase, input: Tensor | PackedSequence, hx: Any = None
    ) -> tuple[Tensor | PackedSequence, Any]:
        """What ``layer`` gives for ``input`` and ``hx``, in any of the forms that PyTorch takes."""
        onnx = cast(OnnxLayers, layer._modules[_STAND_IN])
        packed = input if isinstance(input, PackedSequence) else None
        x = self.padded(packed.data, packed.batch_sizes) if packed is not None else input
        assert isinstance(x, Tensor)
        rows = list(hx) if isinstance(hx, tuple | list) else [] if hx is None else [hx]
        lengths = None
        batched = x.dim() == 3
        if packed is not None:
            lengths = self.lengths(packed.batch_sizes).to(torch.int32)
            if packed.sorted_indices is not None:
                rows = [row.index_select(1, packed.sorted_indices) for row in rows]
        else:
            if not batched:
                x = x[None] if layer.batch_first else x[:, None]
                rows = [row[:, None] for row in rows]
            if rows:
                state: Any = tuple(rows) if onnx.entry.has_c else rows[0]
                layer.check_forward_args(x, state, None)
            if layer.batch_first:
                x = x.transpose(0, 1)
        per_layer = [row.split(2 if layer.bidirectional else 1) for row in rows]
        starts = list(zip(*per_layer, strict=True)) if rows else [()] * layer.num_layers
        y, ends = onnx(x, starts, lengths)
        ended = zip(*ends, strict=True)
        rows = [torch.cat(parts) if len(parts) > 1 else parts[0] for parts in ended]
        output: Tensor | PackedSequence
        if packed is not None:
            if packed.unsorted_indices is not None:
                rows = [row.index_select(1, packed.unsorted_indices) for row in rows]
            output = packed._replace(data=self.packed(y, packed.batch_sizes))
        else:
            y = y.transpose(0, 1) if layer.batch_first else y
            output = y if batched else y.squeeze(0 if layer.batch_first else 1)
            rows = rows if batched else [row.squeeze(1) for row in rows]
        return output, tuple(rows) if onnx.entry.has_c else rows[0]

    def run(self, layer: nn.RNNBase, *args: Any) -> tuple[Tensor, ...]:
        """A kernel: ``(x, hx, weights, …)``, or ``(data, batch_sizes, hx, weights, …)``."""
        if args[2] is layer._flat_weights:
            y: Any
            y, state = self.forward(layer, *args[:2])
        else:
            packed, state = self.forward(layer, PackedSequence(*args[:2]), args[2])
            y = packed.data
        return (y, *state) if isinstance(state, tuple) else (y, state)

    def pack(self, input: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
        """``torch._C._VariableFunctions._pack_padded_sequence``."""
        padded = input.transpose(0, 1) if batch_first else input
        lengths = lengths.to(torch.int64)  # fractions are cut off, as PyTorch does
        batch_sizes = _inside(padded, lengths).sum(1)
        self._lengths.append((batch_sizes, lengths))
        return self.packed(padded, batch_sizes), batch_sizes

    def pad(
        self,
        data: Tensor,
        batch_sizes: Tensor,
        batch_first: bool,
        padding_value: float,
        total_length: int,
    ) -> tuple[Tensor, Tensor]:
        """``torch._C._VariableFunctions._pad_packed_sequence``."""
        lengths, y = self.lengths(batch_sizes), self.padded(data, batch_sizes)
        inside = _inside(y, lengths).reshape(y.size(0), y.size(1), *[1] * (y.dim() - 2))
        padded = torch.where(inside, y, torch.full_like(y[:1, :1], padding_value))
        if total_length != y.size(0):
            missing = total_length - y.size(0)
            after = padded.new_full((missing, *padded.shape[1:]), padding_value)
            padded = torch.cat([padded, after])
        return padded.transpose(0, 1) if batch_first else padded, lengths

    def packed(self, padded: Tensor, batch_sizes: Tensor) -> Tensor:
        """The steps of all sequences in ``padded`` ``[time, batch, …]``, in PyTorch's order."""
        inside = _inside(padded, self.lengths(batch_sizes)).flatten()
        data = padded.flatten(0, 1).index_select(0, inside.nonzero().squeeze(1))
        torch._check(data.size(0) >= 1)  # every sequence has a step
        self._padded.append((data, padded))
        return data

    def padded(self, data: Tensor, batch_sizes: Tensor) -> Tensor:
        """The padded batch ``[time, batch, …]`` of ``data``; whatever stands after a sequence."""
        for known, padded in self._padded:
            if known is data:
                return padded
        steps = torch.arange(batch_sizes.size(0), device=data.device)[:, None]
        inside = steps < self.lengths(batch_sizes)
        place = (inside.flatten().cumsum(0) - 1).clamp(min=0)
        return data.index_select(0, place).reshape(*inside.shape, *data.shape[1:])

    def lengths(self, batch_sizes: Tensor) -> Tensor:
        """The lengths of the sequences in a batch, int64 ``[batch]``.

        Raises:
            MalformedError: the sequences were packed elsewhere.
        """
        for known, lengths in self._lengths:
            if known is batch_sizes:
                return lengths
        raise MalformedError(
            "its PackedSequence was not made by pack_padded_sequence inside forward; take the "
            "padded batch and a tensor of lengths as inputs and pack them there"
        )


def _inside(padded: Tensor, lengths: Tensor) -> Tensor:
    """Whether each step of ``padded`` ``[time, batch, …]`` belongs to a sequence."""
    return torch.arange(padded.size(0), device=padded.device)[:, None] < lengths


def _chunks(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """As many pieces of an open axis; ONNX's exporter cannot split one. Nothing for another."""
    size = x.size(dim)
    if not isinstance(size, torch.SymInt) or size.node.expr.is_number:
        return ()
    each, before = (size + chunks - 1) // chunks, (slice(None),) * (dim % x.dim())
    return tuple(x[(*before, slice(k * each, (k + 1) * each))] for k in range(chunks))


def _is_longer(x: Tensor, dim: Any = None) -> bool:
    """Whether the axis ``dim`` has a size of its own that is not 1."""
    size = x.size(dim) if isinstance(dim, int) and x.dim() else None
    return isinstance(size, int) and size != 1


def _with_tensors(index: tuple[Any, ...]) -> tuple[Any, ...]:
    """``x[rows, x.size(1) - 1]``: beside tensors, PyTorch would make a plain number of the size."""
    if not any(isinstance(part, Tensor) for part in index):
        return index
    return tuple(
        torch.scalar_tensor(cast(int, part), dtype=torch.long)[None]
        if isinstance(part, torch.SymInt)
        else part
        for part in index
    )
