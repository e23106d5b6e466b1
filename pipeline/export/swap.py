"""Any module with its recurrent layers and its packed sequences made exportable, for a while."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

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

    The layers stay where they are, with their class, attributes and hooks: only their
    ``forward`` methods look for a child with the weights in ONNX's layout, which layers outside
    ``module`` do not have.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, _CLASSES)]
    try:
        for layer in layers:
            layer.add_module(_STAND_IN, OnnxLayers(layer))
        with ExitStack() as stack:
            for kind in _CLASSES:
                stack.enter_context(patch.object(kind, "forward", _forward(kind.forward)))
            stack.enter_context(PaddedInsteadOfPacked())
            yield
    finally:
        for layer in layers:
            layer._modules.pop(_STAND_IN, None)


def _forward(original: Callable[..., Any]) -> Callable[..., Any]:
    def forward(self: nn.RNNBase, input: Any, hx: Any = None) -> Any:
        onnx = self._modules.get(_STAND_IN)
        if not isinstance(onnx, OnnxLayers):
            return original(self, input, hx)
        return _run(self, onnx, input, hx)

    return forward


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


class PaddedInsteadOfPacked(TorchFunctionMode):
    """Packed sequences that hold the padded batch, for ONNX has sequence lengths and no packing.

    ``data`` is ``[time, batch, …]`` and every row of ``batch_sizes`` ``[time, batch]`` holds the
    lengths. What works on each element of ``data`` alone (dropout, embedding, linear layers)
    needs no change.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer the two functions below :mod:`torch.nn.utils.rnn`, leave all others alone."""
        name = getattr(func, "__name__", "")
        if name == "_pack_padded_sequence":
            return self.pack(*args, **(kwargs or {}))
        if name == "_pad_packed_sequence":
            return self.pad(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def pack(self, input: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
        """``torch._C._VariableFunctions._pack_padded_sequence``."""
        data = input.transpose(0, 1) if batch_first else input
        return data, lengths.expand(data.size(0), data.size(1))

    def pad(
        self,
        data: Tensor,
        batch_sizes: Tensor,
        batch_first: bool,
        padding_value: float,
        total_length: int,
    ) -> tuple[Tensor, Tensor]:
        """``torch._C._VariableFunctions._pad_packed_sequence``; ``[time, …]``, as it was packed."""
        lengths = batch_sizes[0]
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
    return packed.batch_sizes[0]
