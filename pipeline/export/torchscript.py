"""Any module as a TorchScript file, by tracing."""

import io
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from pipeline.export.archive import all_numbered, numbered_anew, numbered_as_it_is
from pipeline.export.quiet import quiet_exporter


def trace(
    module: nn.Module,
    inputs: tuple[Any, ...],
    further: Mapping[str, tuple[Any, ...]] | None = None,
    definition: str = "",
    first: bool = False,
) -> bytes:
    """``module`` as a TorchScript file, traced while it is called with ``inputs``.

    ``further`` has the names of other methods to trace, with their inputs. ``definition`` is the
    source of methods to compile, which may call the traced ones. With ``first``, classes have the
    names that torch gives them, which are the same wherever it is the first trace of its process.
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
