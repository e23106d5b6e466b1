"""The files of a bundle of a user's module, and the bundle as a reference."""

import copy
import io
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from pipeline.bundle.golden import backend_test_files, golden_json, golden_trajectories
from pipeline.bundle.module_card import module_card
from pipeline.bundle.samples import sampled
from pipeline.bundle.write import file_entry
from pipeline.checkpoint import versions
from pipeline.contract import Bundle
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
from pipeline.contract.samples import draw
from pipeline.contract.stored import stored
from pipeline.contract.tensors import Axis, Contract, StatePair, Tensors
from pipeline.export.modules import export_onnx, export_torchscript
from pipeline.export.state import Explicit
from pipeline.runtimes.called import Called
from pipeline.seal import require_readable, sealed
from pipeline.storage import canonical_json
from pipeline.verify import Reference, chained

_SIZES = (1, 3, 8, 5)  # of axes that are neither batch nor time
_FLOAT64 = 1e-9  # share of a tensor's largest number that TorchScript in float64 may be off


def build_module_bundle(
    explicit: Explicit,
    name: str,
    *,
    opset: int,
    samples: Mapping[str, Any] | None = None,
    check_inputs: Any = (),
) -> dict[str, bytes]:
    """All files of the bundle, ``manifest.json`` last; equal modules give equal bytes.

    Raises:
        MalformedError: the module cannot be exported; says which part, and why.
        ParityError: an exported file gives other numbers than PyTorch.
        UsageError: a sample is of no input, or does not fit it.
    """
    inputs, held_out = sampled(explicit.contract, explicit.example, samples or {})
    contract = replace(explicit.contract, inputs=inputs)
    initial = _initial(explicit, contract)
    reference = reference_of(
        contract,
        explicit.module,
        _float64(explicit.module),
        partial(_repeated, initial, contract),
        held_out,
        explicit.unit,
    )
    onnx_file, torchscript_file = _graphs(explicit, contract, opset, check_inputs)
    trajectories = golden_trajectories(reference)
    golden = canonical_json(
        golden_json(name, contract, trajectories, {key: stored(y) for key, y in held_out.items()}),
        indent=None,
    )
    require_readable(golden, GOLDEN_FILE)
    weights = _weights(explicit)
    record = ModuleRecord(
        class_name=explicit.name,
        float64=_agrees_in_float64(torchscript_file, reference),
        states=tuple(explicit.described),
    )
    files = {
        WEIGHTS_FILE: save_safetensors(weights, metadata={"format": "pt"}),
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
        axes=_axes(contract, explicit.unit),
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
        parameters=sum(weight.numel() for weight in weights.values()),
        checkpoint_sha256=None,
        versions=versions(),
        files={key: file_entry(data) for key, data in {CARD_FILE: b"", **files}.items()},
    )
    card = module_card(manifest).encode()
    entries = {**manifest.files, CARD_FILE: file_entry(card)}
    manifest = manifest.model_copy(update={"files": entries})
    return {CARD_FILE: card, **files, MANIFEST_FILE: sealed(manifest)}


def module_reference(bundle: Bundle) -> Reference:
    """The TorchScript of ``bundle`` as a reference; whoever calls this must know that it may run.

    The export has compared it with the eager module, in float32 and in float64.
    """
    manifest = bundle.manifest
    assert manifest.module is not None
    file = bundle.read(TORCHSCRIPT_FILE)
    module = load_torchscript(file)
    twin = load_torchscript(file).double() if manifest.module.float64 else None
    times = [axis for axis in manifest.axes.values() if axis.role == "time"]
    unit = times[0].multiple if times else 1
    initial, held_out = bundle.initial_states, bundle.held_out()
    return reference_of(manifest.contract, module, twin, initial, held_out, unit)


def reference_of(
    contract: Contract,
    module: nn.Module,
    twin: nn.Module | None,
    initial: Callable[[int], Tensors],
    held_out: Mapping[str, Array],
    unit: int,
) -> Reference:
    """A module and its float64 twin as a reference, with inputs drawn as the contract says."""
    carried = {before for before, _ in contract.states}
    data = [spec for spec in contract.inputs if spec.name not in carried]
    others = {
        axis
        for spec in (*contract.inputs, *contract.outputs)
        for axis in spec.shape
        if isinstance(axis, str) and axis not in (contract.batch, contract.time)
    }

    def sample(batch: int, time: int, start: int) -> Tensors:
        sizes = {axis: _SIZES[(batch + time) % len(_SIZES)] for axis in sorted(others)}
        sizes |= {contract.batch or "": batch, contract.time or "": time}
        return draw(data, sizes, np.random.default_rng((batch, time, start)), held_out, start)

    return Reference(
        contract,
        Called(module),
        None if twin is None else Called(twin, torch.float64),
        sample,
        initial,
        unit,
    )


def load_torchscript(file: bytes) -> nn.Module:
    """The module in a TorchScript file, on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit warns that it is deprecated
        loaded: nn.Module = torch.jit.load(io.BytesIO(file), map_location="cpu")
    return loaded


def _initial(explicit: Explicit, contract: Contract) -> Tensors:
    """One row of each state at the start, as an array of the shape of its tensor."""
    found = {}
    for before, _ in contract.states:
        spec = next(one for one in contract.inputs if one.name == before)
        shape = [1 if isinstance(axis, str) else axis for axis in spec.shape]
        found[before] = np.broadcast_to(explicit.initial[before], shape).astype(spec.type)
    return found


def _repeated(rows: Tensors, contract: Contract, batch: int) -> Tensors:
    """The initial states of a number of streams."""
    return contract.rows(rows, [0] * batch) if contract.batch else dict(rows)


def _graphs(
    explicit: Explicit, contract: Contract, opset: int, check_inputs: Any
) -> tuple[bytes, bytes]:
    """The ONNX file and the TorchScript file, each compared with the eager module."""
    names = [spec.name for spec in contract.inputs]
    axes = {
        spec.name: {k: axis for k, axis in enumerate(spec.shape) if isinstance(axis, str)}
        for spec in (*contract.inputs, *contract.outputs)
    }
    given = tuple(explicit.example[name] for name in names)
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
            check_inputs=check_inputs,
        )
        export_torchscript(
            explicit.module,
            given,
            torchscript_path,
            input_names=names,
            dynamic_axes=inputs,
            check_inputs=check_inputs,
        )
        model = onnx.load_from_string(onnx_path.read_bytes())
        meanings = {spec.name: spec.meaning for spec in (*contract.inputs, *contract.outputs)}
        for value in (*model.graph.input, *model.graph.output):
            value.doc_string = meanings[value.name]
        return model.SerializeToString(deterministic=True), torchscript_path.read_bytes()


def _weights(explicit: Explicit) -> dict[str, Tensor]:
    """Weights and buffers of the user's module by their names, each with memory of its own."""
    return {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in explicit.original.state_dict().items()
        if isinstance(tensor, Tensor)
    }


def _float64(module: nn.Module) -> nn.Module | None:
    """A copy of ``module`` in float64; None if it cannot compute in that."""
    try:
        return copy.deepcopy(module).double()
    except Exception:  # a module may refuse for any reason
        return None


def _is_constant(rows: Array) -> bool:
    return bool((rows == rows.flat[0]).all())


def _axes(contract: Contract, unit: int) -> dict[str, Axis]:
    """The axes of a contract; a sequence is cut into multiples of ``unit`` steps."""
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
        roles[contract.time] = {"role": "time", "smallest": unit, "multiple": unit}
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
