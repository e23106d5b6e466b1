"""A network, or any module, as a TorchScript file, by tracing."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pipeline.export.archive import all_numbered, numbered_anew, numbered_as_it_is
from pipeline.export.onnx_graph import example_inputs
from pipeline.export.quiet import quiet_exporter
from pipeline.export.script import loop_methods
from pipeline.model import Network
from pipeline.network_tensors import loop


def to_torchscript(
    network: Network, spread: Sequence[float] | None = None, first: bool = False
) -> bytes:
    """``network`` as a TorchScript file, which ``torch.jit.load`` reads in Python and C++.

    Where its outputs can be its next inputs, the file has the loop as a further method. ``spread``
    is the standard deviation of the residuals of each target, for samples of a forecast. With
    ``first``, classes have the names that torch gives them, which are the same wherever it is the
    first trace of its process: bundles of format 1 have those.
    """
    inputs = example_inputs(network, batch=2, time=3)
    if loop(network.config) is None:
        return trace(network.exported(), inputs, first=first)
    methods = {"next_output": (network.zero_state(2),)}
    return trace(network, inputs, methods, loop_methods(network, spread), first)


def trace(
    module: nn.Module,
    inputs: tuple[Any, ...],
    further: Mapping[str, tuple[Any, ...]] | None = None,
    definition: str = "",
    first: bool = False,
) -> bytes:
    """``module`` as a TorchScript file, traced while it is called with ``inputs``.

    ``further`` has the names of other methods to trace, with their inputs. ``definition`` is the
    source of methods to compile, which may call the traced ones. ``first`` is as in
    :func:`to_torchscript`.
    """
    archive = _traced(module, inputs, further or {}, definition)
    if first:
        return numbered_as_it_is(archive)
    if not all_numbered(archive):  # a class that this process had not seen before
        archive = _traced(module, inputs, further or {}, definition)
    return numbered_anew(archive)


def _traced(
    module: nn.Module,
    inputs: tuple[Any, ...],
    further: Mapping[str, tuple[Any, ...]],
    definition: str,
) -> bytes:
    with quiet_exporter(), torch.no_grad():
        # Tracing could check its result itself, yet the export does so afterwards at more sizes.
        traced = torch.jit.trace_module(
            module,
            {"forward": inputs, **further},
            check_trace=False,
            strict=False,
            _store_inputs=False,
        )
        if definition:
            traced.define(definition)
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer)
    return buffer.getvalue()
