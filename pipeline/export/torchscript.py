"""A network, or any module, as a TorchScript file, by tracing."""

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
    """``network`` as a TorchScript file, which ``torch.jit.load`` reads in Python and C++.

    Where its outputs can be its next inputs, the file has the loop as a further method. ``spread``
    is the standard deviation of the residuals of each target, for samples of a forecast.
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
    """``module`` as a TorchScript file, traced while it is called with ``inputs``.

    ``further`` has the names of other methods to trace, with their inputs. ``definition`` is the
    source of methods to compile, which may call the traced ones.
    """
    with quiet_exporter(), torch.no_grad():
        _forget_traced_classes()
        # Tracing could check its result itself, yet the export does so afterwards at more sizes.
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
    """Let torch number classes from the start again.

    Otherwise the names in the file would depend on how many traces this process has made.
    """
    torch._C._jit_clear_class_registry()
    torch.jit._recursive.concrete_type_store = torch.jit._recursive.ConcreteTypeStore()
    torch.jit._state._clear_class_state()


def _without_traces_of_this_machine(archive: bytes) -> bytes:
    """The archive without the files that tell where it was made.

    These are the map from code to lines of Python sources, with their paths, and the checksum over
    it. TorchScript does without both.
    """
    target_bytes = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive)) as source,
        zipfile.ZipFile(target_bytes, "w", zipfile.ZIP_STORED) as target,
    ):
        for entry in source.infolist():
            if not entry.filename.endswith((".debug_pkl", "/serialization_id")):
                target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
    return target_bytes.getvalue()
