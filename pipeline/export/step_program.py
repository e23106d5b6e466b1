"""A module at fixed sizes as a program of ``torch.export``, which converters for phones take."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from pipeline.errors import MalformedError, one_line
from pipeline.export.quiet import quiet_exporter


def step_program(module: nn.Module, inputs: Iterable[Tensor]) -> bytes:
    """``module``, eager or TorchScript, as it computes on inputs of these sizes and types.

    It is traced below TorchScript and below the recurrent layers, so that both become the operators
    that every converter knows: products, sums, sigmoid, tanh.

    Raises:
        MalformedError: what the module does depends on the numbers in its inputs.
    """
    example = tuple(inputs)

    def called(*tensors: Tensor) -> tuple[Tensor, ...]:
        found = module(*tensors)
        return tuple(found) if isinstance(found, tuple | list) else (found,)

    buffer = io.BytesIO()
    try:
        with quiet_exporter(), torch.no_grad(), _plain_kernels():
            table = {torch.ops.aten.embedding.default: _selected}
            traced = make_fx(called, decomposition_table=table)(*example)
            torch.export.save(torch.export.export(traced, example), buffer)
    except Exception as error:  # of many types, where numbers decide what is computed
        raise MalformedError(
            f"one step of it cannot be traced ({one_line(error)}); a converter takes modules whose "
            "operations do not depend on the numbers in their inputs"
        ) from error
    return buffer.getvalue()


def _selected(weight: Tensor, indices: Tensor, *_: object) -> Tensor:
    """The rows of an embedding; converters lack its operator for some types of numbers."""
    rows = weight.index_select(0, indices.reshape(-1))
    return rows.reshape(*indices.shape, *weight.shape[1:])


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """A block in which layers are made of plain operators, and none is oneDNN's own."""
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)
