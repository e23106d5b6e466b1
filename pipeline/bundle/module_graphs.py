"""The two files of a user's module, each compared with the module in eager PyTorch."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from pipeline.contract.tensors import Tensors
from pipeline.errors import UsageError
from pipeline.export.graph import describe
from pipeline.export.module.files import export_onnx, export_torchscript
from pipeline.export.module.other_sizes import LONG
from pipeline.export.state import Explicit
from pipeline.verify import Reference, chained

_SIZES = ((1, 7), (7, 1), (2, 4), (4, 13), (13, 2), (3, 32))  # batch and steps of the comparisons


def graphs(
    explicit: Explicit, reference: Reference, opset: int, check_inputs: Any = ()
) -> tuple[bytes, bytes]:
    """The ONNX file and the TorchScript file.

    They are compared on ``check_inputs``, which are arguments of the user's module. Without any, a
    module with states is compared from states that it comes to, as not every number may be one;
    and others are compared on random inputs.

    Raises:
        MalformedError: the module cannot be exported; says which part, and why.
        ParityError: a file gives other numbers than PyTorch.
        UsageError: ``check_inputs`` have other tensors than the example.
    """
    contract = reference.contract
    names = [spec.name for spec in contract.inputs]
    axes = {
        spec.name: {k: axis for k, axis in enumerate(spec.shape) if isinstance(axis, str)}
        for spec in (*contract.inputs, *contract.outputs)
    }
    given = tuple(explicit.example[name] for name in names)
    checks = [_with_states(explicit, arguments) for arguments in check_inputs]
    if contract.states and not checks:
        checks = [tuple(map(torch.from_numpy, call)) for call in _calls(reference)]
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
        describe(model, (*contract.inputs, *contract.outputs))
        return model.SerializeToString(deterministic=True), torchscript_path.read_bytes()


def _calls(reference: Reference) -> Iterator[list[np.ndarray[Any, Any]]]:
    """The inputs of calls of several sizes, from initial states and from what those led to."""
    contract = reference.contract
    for batch, steps in (*_SIZES, (1, LONG)) if contract.time else _SIZES:
        pieces = reference.pieces(batch, [steps, steps])
        states: Tensors = reference.initial(reference.batch_of(pieces[0]))
        results = chained(reference.model, contract, pieces, states)
        for piece, result in zip(pieces, results, strict=True):
            call = {**piece, **states}
            yield [call[spec.name] for spec in contract.inputs]
            states = contract.carried(result)


def _with_states(explicit: Explicit, arguments: Any) -> tuple[Tensor, ...]:
    """The arguments of a user's call as tensors of the pure function, from the initial states."""
    contract, leaves = explicit.contract, pytree.tree_leaves(arguments)
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
