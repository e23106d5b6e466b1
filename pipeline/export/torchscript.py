"""A network as TorchScript, by tracing."""

import io
import zipfile
from typing import Any

import torch
from torch import nn

from pipeline.export.onnx_graph import example_inputs, quiet_exporter
from pipeline.model import Network


def to_torchscript(network: Network) -> bytes:
    """Trace ``network``; the result loads with ``torch.jit.load`` in Python and C++."""
    return trace(network.exported(), example_inputs(network, batch=2, time=3))


def trace(module: nn.Module, inputs: tuple[Any, ...]) -> bytes:
    """Any module, called with ``inputs``, as a TorchScript file."""
    with quiet_exporter(), torch.no_grad():
        _forget_traced_classes()
        # What tracing would check, the post-condition checks of the export do at more sizes.
        traced = torch.jit.trace(
            module, inputs, check_trace=False, strict=False, _store_inputs=False
        )
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
