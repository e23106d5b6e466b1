"""The files of a bundle of a user's module, and the bundle as a reference."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pipeline.bundle.golden import backend_test_files, golden_json, golden_trajectories
from pipeline.bundle.module_card import module_card
from pipeline.bundle.module_reference import explicit_reference, load_torchscript
from pipeline.bundle.write import file_entry
from pipeline.checkpoint import versions
from pipeline.contract.files import (
    CARD_FILE,
    GOLDEN_FILE,
    INITIAL_FILE,
    MANIFEST_FILE,
    ONNX_FILE,
    TORCHSCRIPT_FILE,
    WEIGHTS_FILE,
)
from pipeline.contract.law import FLOAT32, LESS_THAN_FLOAT32, Array
from pipeline.contract.manifest import FORMAT, Manifest, ModuleRecord
from pipeline.contract.stored import stored
from pipeline.contract.tensors import Axis, Contract, StatePair
from pipeline.errors import UsageError
from pipeline.export.called import Called
from pipeline.export.modules import export_onnx, export_torchscript
from pipeline.export.state import Explicit
from pipeline.seal import require_readable, sealed
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
    reference, held_out = explicit_reference(explicit, samples or {})
    contract, initial = reference.contract, reference.initial(1)
    onnx_file, torchscript_file = graphs(explicit, contract, opset, check_inputs)
    trajectories = golden_trajectories(reference)
    golden = canonical_json(
        golden_json(name, contract, trajectories, {key: stored(y) for key, y in held_out.items()}),
        indent=None,
    )
    require_readable(golden, GOLDEN_FILE)
    record = ModuleRecord(
        class_name=type(module).__name__,
        float64=_agrees_in_float64(torchscript_file, reference),
        states=tuple(state.where for state in explicit.states),
    )
    files = {
        WEIGHTS_FILE: weights_file(module, explicit),
        TORCHSCRIPT_FILE: torchscript_file,
        ONNX_FILE: onnx_file,
        **backend_test_files(reference),
        GOLDEN_FILE: golden,
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
        axes=_axes(contract),
        tolerance={"float32": FLOAT32, **LESS_THAN_FLOAT32},
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


def graphs(
    explicit: Explicit, contract: Contract, opset: int, check_inputs: Any = ()
) -> tuple[bytes, bytes]:
    """The ONNX file and the TorchScript file, each compared with the eager module."""
    names = [spec.name for spec in contract.inputs]
    axes = {
        spec.name: {k: axis for k, axis in enumerate(spec.shape) if isinstance(axis, str)}
        for spec in (*contract.inputs, *contract.outputs)
    }
    given = tuple(explicit.example[name] for name in names)
    checks = [_with_states(explicit, contract, arguments) for arguments in check_inputs]
    inputs = {name: axes[name] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        onnx_path, torchscript_path = Path(folder, "model.onnx"), Path(folder, "model.pt")
        export_onnx(
            explicit.module,
            given,
            onnx_path,
            input_names=names,
            output_names=[spec.name for spec in contract.outputs],
            dynamic_axes=axes,
            opset=opset,
            check_inputs=checks,
        )
        export_torchscript(
            explicit.module,
            given,
            torchscript_path,
            input_names=names,
            dynamic_axes=inputs,
            check_inputs=checks,
        )
        model = onnx.load_from_string(onnx_path.read_bytes())
        meanings = {spec.name: spec.meaning for spec in (*contract.inputs, *contract.outputs)}
        for value in (*model.graph.input, *model.graph.output):
            value.doc_string = meanings[value.name]
        return model.SerializeToString(deterministic=True), torchscript_path.read_bytes()


def _with_states(explicit: Explicit, contract: Contract, arguments: Any) -> tuple[Tensor, ...]:
    """The arguments of a user's call as tensors of the pure function, from the initial states.

    Raises:
        UsageError: they have other tensors than the example.
    """
    leaves = pytree.tree_leaves(arguments)
    given = [torch.as_tensor(leaf) for leaf in leaves if isinstance(leaf, Tensor | np.ndarray)]
    data = [spec for spec in contract.inputs if spec.name not in explicit.initial]
    if len(given) != len(data):
        raise UsageError(
            f"check_inputs has {len(given)} tensors, not {len(data)}; give each the arguments that "
            "the example has, without states"
        )
    axes = [
        spec.shape.index(contract.batch) if contract.batch in spec.shape else None for spec in data
    ]
    batch = next((y.size(k) for y, k in zip(given, axes, strict=True) if k is not None), 1)
    start = explicit.start(batch)
    return (*given, *(torch.from_numpy(start[before]) for before, _ in contract.states))


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


def _axes(contract: Contract) -> dict[str, Axis]:
    """The axes of a contract, of any sizes."""
    names = {
        axis
        for spec in (*contract.inputs, *contract.outputs)
        for axis in spec.shape
        if isinstance(axis, str)
    }
    roles: dict[str, Any] = {name: {"role": "size"} for name in sorted(names)}
    if contract.batch:
        roles[contract.batch] = {"role": "batch"}
    if contract.time:
        roles[contract.time] = {"role": "time"}
    return {name: Axis(**facts) for name, facts in roles.items()}


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
