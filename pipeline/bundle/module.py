"""The files of a bundle of a user's module, and the bundle as a reference."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from pipeline.bundle.golden import golden_files
from pipeline.bundle.module_axes import axes_of
from pipeline.bundle.module_card import module_card
from pipeline.bundle.module_graphs import graphs
from pipeline.bundle.module_reference import explicit_reference, load_torchscript
from pipeline.bundle.write import file_entry
from pipeline.checkpoint import versions
from pipeline.contract.files import (
    CARD_FILE,
    INITIAL_FILE,
    MANIFEST_FILE,
    ONNX_FILE,
    TORCHSCRIPT_FILE,
    WEIGHTS_FILE,
)
from pipeline.contract.law import TOLERANCES, Array
from pipeline.contract.manifest import FORMAT, Manifest, ModuleRecord
from pipeline.contract.stored import stored
from pipeline.contract.tensors import StatePair
from pipeline.export.called import Called
from pipeline.export.state import Explicit
from pipeline.seal import sealed
from pipeline.storage import canonical_json
from pipeline.verify import Reference, chained

_FLOAT64 = 1e-9  # share of a tensor's largest number that TorchScript in float64 may be off


def build_module_bundle(
    explicit: Explicit,
    module: nn.Module,
    name: str,
    *,
    opset: int,
    samples: Mapping[str, Any] | None = None,
    check_inputs: Any = (),
) -> dict[str, bytes]:
    """All files of the bundle, ``manifest.json`` last; equal modules give equal bytes.

    ``explicit`` is the user's ``module`` as a pure function.

    Raises:
        MalformedError: the module cannot be exported; says which part, and why.
        ParityError: an exported file gives other numbers than PyTorch.
        UsageError: a sample is of no input, or does not fit it.
    """
    axes = axes_of(explicit)
    reference, held_out = explicit_reference(explicit, axes, samples or {})
    contract, initial = reference.contract, reference.initial(1)
    onnx_file, torchscript_file = graphs(explicit, reference, opset, check_inputs)
    golden = golden_files(name, reference, {key: stored(y) for key, y in held_out.items()})
    record = ModuleRecord(
        class_name=type(module).__name__,
        float64=_agrees_in_float64(torchscript_file, reference),
        states=tuple(state.where for state in explicit.states),
    )
    files = {
        WEIGHTS_FILE: weights_file(module, explicit),
        TORCHSCRIPT_FILE: torchscript_file,
        ONNX_FILE: onnx_file,
        **golden,
    }
    if varied := {name: stored(y) for name, y in initial.items() if not _is_constant(y)}:
        content = {"format": FORMAT, "states": varied}
        files[INITIAL_FILE] = canonical_json(content, indent=None)
    pairs = tuple(
        StatePair(
            input=before,
            output=after,
            initial=INITIAL_FILE if before in varied else float(initial[before].flat[0]),
        )
        for before, after in contract.states
    )
    manifest = Manifest(
        format=FORMAT,
        name=name,
        inputs=contract.inputs,
        outputs=contract.outputs,
        states=pairs,
        axes=axes,
        tolerance=TOLERANCES,
        opset=opset,
        task=None,
        loop=None,
        window=None,
        spread=None,
        scaler=None,
        vocabulary=None,
        source=None,
        training=None,
        model=None,
        module=record,
        parameters=sum(weight.numel() for weight in _weights(module, explicit).values()),
        checkpoint_sha256=None,
        versions=versions(),
        files={key: file_entry(data) for key, data in {CARD_FILE: b"", **files}.items()},
    )
    card = module_card(manifest).encode()
    entries = {**manifest.files, CARD_FILE: file_entry(card)}
    manifest = manifest.model_copy(update={"files": entries})
    return {CARD_FILE: card, **files, MANIFEST_FILE: sealed(manifest)}


def weights_file(module: nn.Module, explicit: Explicit) -> bytes:
    """Weights and buffers of the user's module as safetensors."""
    content: bytes = save_safetensors(_weights(module, explicit), metadata={"format": "pt"})
    return content


def _weights(module: nn.Module, explicit: Explicit) -> dict[str, Tensor]:
    """Weights and buffers of the user's module, without its states, each with memory of its own."""
    kept = {place.name for place, _ in explicit.module.kept.states}
    return {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in module.state_dict().items()
        if isinstance(tensor, Tensor) and name not in kept
    }


def _is_constant(rows: Array) -> bool:
    return bool((rows == rows.flat[0]).all())


def _agrees_in_float64(file: bytes, reference: Reference) -> bool:
    """Whether the TorchScript, computing in float64, gives the exact results of the reference."""
    if reference.twin is None:
        return False
    try:
        twin = Called(load_torchscript(file).double(), torch.float64)
        inputs = reference.pieces(3, [4, 1])
        found, exact = (
            chained(model, reference.contract, inputs, reference.initial(3))
            for model in (twin, reference.twin)
        )
    except Exception:  # TorchScript raises many types
        return False
    return all(
        y.dtype == call[name].dtype
        and np.allclose(y, call[name], rtol=_FLOAT64, atol=_FLOAT64 * np.abs(y).max(initial=0))
        for call, truth in zip(found, exact, strict=True)
        for name, y in truth.items()
    )
