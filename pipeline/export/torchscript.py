"""A network as TorchScript, by tracing."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pipeline.export.onnx_graph import example_inputs, quiet_exporter
from pipeline.export.script import loop_methods
from pipeline.model import Network
from pipeline.signature import loop


def to_torchscript(network: Network, spread: Sequence[float] | None = None) -> bytes:
    """Trace ``network``; the result loads with ``torch.jit.load`` in Python and C++.

    Where the outputs can be the next inputs, it has the loop as a further method.
    """
    inputs = example_inputs(network, batch=2, time=3)
    if loop(network.config) is None:
        return trace(network.exported(), inputs)
    methods = {"next_output": (network.zero_state(2),)}
    return trace(network, inputs, methods, loop_methods(network, spread))


def trace(
    module: nn.Module,
    inputs: tuple[Any, ...],
    further: Mapping[str, tuple[Any, ...]] | None = None,
    definition: str = "",
) -> bytes:
    """Any module, called with ``inputs``, as a TorchScript file.

    ``further`` are the inputs of other methods to trace; ``definition`` is TorchScript that calls
    them.
    """
    with quiet_exporter(), torch.no_grad():
        _forget_traced_classes()
        # What tracing would check, the post-condition checks of the export do at more sizes.
        traced = torch.jit.trace_module(
            module,
            {"forward": inputs, **(further or {})},
            check_trace=False,
            strict=False,
            _store_inputs=False,
        )
        if definition:
            traced.define(definition)
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer)
    return _without_traces_of_this_machine(buffer.getvalue())


def _forget_traced_classes() -> None:
    """Without this, the names in the archive count the traces that this process made before."""
    torch._C._jit_clear_class_registry()
    torch.jit._recursive.concrete_type_store = torch.jit._recursive.ConcreteTypeStore()
    torch.jit._state._clear_class_state()


def _without_traces_of_this_machine(archive: bytes) -> bytes:
    """Leave out the map from code to Python sources, and the checksum that counts it in."""
    target_bytes = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive)) as source,
        zipfile.ZipFile(target_bytes, "w", zipfile.ZIP_STORED) as target,
    ):
        for entry in source.infolist():
            if not entry.filename.endswith((".debug_pkl", "/serialization_id")):
                target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
    return target_bytes.getvalue()
