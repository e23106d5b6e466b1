"""Any module with recurrent layers inside, exported to ONNX or TorchScript and checked."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from onnx import ModelProto
from torch import Tensor, nn
from torch.export import ExportedProgram

from pipeline.contract.file_samples import KEY, written
from pipeline.errors import PipelineError, UsageError, one_line
from pipeline.export.control_flow.branches import Branches, UndecidedError, with_branches
from pipeline.export.control_flow.rewrite import Rewriting
from pipeline.export.control_flow.roll import Roll
from pipeline.export.control_flow.sizes import TracedData, keeping_sizes
from pipeline.export.graph import tidy, translate
from pipeline.export.module.apart import fault_apart
from pipeline.export.module.as_called import called_as_module
from pipeline.export.module.calls import TensorCall
from pipeline.export.module.capture import (
    UNDECIDED,
    cannot_export,
    capture,
    untranslated,
    with_line,
)
from pipeline.export.module.cases import Cases
from pipeline.export.module.checks import check_module_graph
from pipeline.export.module.copying import working_copy
from pipeline.export.module.example import Axes, Example
from pipeline.export.module.refusals import other_numbers, refuse_for_onnx, unloadable
from pipeline.export.module.trail import Trail
from pipeline.export.quiet import quiet_exporter
from pipeline.export.session import cpu_session
from pipeline.export.torchscript import trace
from pipeline.network_tensors import DEFAULT_OPSET, OPSETS
from pipeline.runtimes.torchscript import OF_TENSORS
from pipeline.storage import update_file
from pipeline.threads import torch_threads, weights_of


def export_onnx(
    module: nn.Module,
    example_inputs: Any,
    path: str | Path,
    *,
    kwargs: Mapping[str, Any] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_axes: Axes | None = None,
    opset: int = DEFAULT_OPSET,
    check_inputs: Sequence[Any] = (),
) -> None:
    """Write ``module`` as one ONNX file whose recurrent layers are one node each.

    The recurrent layers of ``torch.nn`` are found wherever they are inside; a bidirectional layer
    is one node for both directions. The module is exported as it is in ``eval()``, and left as it
    was.

    Args:
        module: any module; what it keeps between calls has to go in and out through ``forward``.
        example_inputs: a tensor, or the arguments of ``forward``; tensors or arrays of any shape,
            also inside tuples, lists, dictionaries, named tuples and dataclasses. Other arguments
            are constants in the file. A dictionary at the end holds arguments by name, as in
            ``torch.onnx.export``, if ``forward`` has them; so may a dictionary as the whole.
        path: the file to write; a previous one is replaced only by one that passed its checks.
        kwargs: arguments of ``forward`` by name.
        input_names: names of the input tensors; by default those of the parameters, or of the
            keys and fields within.
        output_names: names of the output tensors; by default those of keys and fields, or
            ``output``, or ``output_0`` and on.
        dynamic_axes: the axes of each tensor that may have any size, with a name for each:
            ``{"x": {0: "batch", 1: "time"}}``; without names, ``{"x": [0, 1]}``. Axes may count
            from the last, -1. All others of the inputs are fixed to the example's size. An axis of
            an output follows from the inputs; here it is checked to be dynamic.
        opset: the version of ONNX's operators, 18 to 23.
        check_inputs: arguments, of any sizes, to compare the graph with PyTorch on in place of
            random ones.

    Raises:
        MalformedError: the module cannot be exported; says which submodule, and why.
        ParityError: the graph breaks a post-condition, or gives other numbers than PyTorch.
        UsageError: names, axes or opset cannot be.
        StorageError: the file system refused.
    """
    if opset not in OPSETS:
        raise UsageError(f"opset {opset} is not one of {OPSETS.start} to {OPSETS.stop - 1}")
    module = working_copy(module)
    example = Example(module, example_inputs, input_names, dynamic_axes, kwargs)
    refuse_for_onnx(module, example.tensors)
    further = [example.tensors_like(inputs) for inputs in check_inputs]
    call = TensorCall(module, example)
    module, example, name = call.module, call.example, type(call.module).__name__
    cases = Cases(module, example, further, name)
    outputs = call.output_names(output_names, len(cases.outputs))
    example.check_outputs(outputs, dynamic_axes)
    metadata = {KEY: written(cases.samples)} if cases.samples else {}
    program, model = _to_onnx(module, example.without_ones(cases.cases), outputs, opset, metadata)
    check_module_graph(model, program, example, dynamic_axes)
    file = model.SerializeToString(deterministic=True)
    if other_numbers(model, module, example.tensors):
        feeds = zip(example.names, (tensor.numpy() for tensor in example.tensors), strict=True)
        if fault := fault_apart(file, dict(feeds)):
            raise unloadable(model, module, fault)
    try:
        session = cpu_session(file)
    except Exception as error:  # its exceptions have no common base of their own
        raise unloadable(model, module, one_line(error)) from error

    def run(tensors: Sequence[Tensor]) -> list[Tensor]:
        arrays = (tensor.numpy() for tensor in tensors)
        feeds = dict(zip(example.names, arrays, strict=True))
        return [torch.from_numpy(y) for y in session.run(None, feeds)]

    cases.compare("ONNX", run)
    update_file(Path(path), file)


def export_torchscript(
    module: nn.Module,
    example_inputs: Any,
    path: str | Path,
    *,
    kwargs: Mapping[str, Any] | None = None,
    input_names: Sequence[str] | None = None,
    dynamic_axes: Axes | None = None,
    check_inputs: Sequence[Any] = (),
) -> None:
    """Trace ``module`` into a file for ``torch.jit.load`` in Python and C++.

    Arguments are as in :func:`export_onnx`; ``dynamic_axes`` says which axes have to go on
    working at other sizes. The file is called as the module is, if TorchScript has types for its
    arguments: tensors, numbers, words, None, tuples and dataclasses of any, and lists and
    dictionaries whose values are all of one type. What is no tensor has to be what it is here.
    Where the module takes more than tensors and tuples of them, a second method of the file,
    ``forward_of_tensors``, takes the tensors alone; where TorchScript has no types, so does
    ``forward``. Results are as the module's if they are tensors, tuples, and lists and
    dictionaries of one type, and else a tuple of tensors.

    Raises:
        MalformedError: the module cannot be traced; says which submodule, and why.
        ParityError: the trace gives other numbers than PyTorch.
        UsageError: names or axes cannot be.
        StorageError: the file system refused.
    """
    module = working_copy(module)
    example = Example(module, example_inputs, input_names, dynamic_axes, kwargs)
    further = [example.tensors_like(inputs) for inputs in check_inputs]
    call = TensorCall(module, example, nested=True)
    module, example, name = call.module, call.example, type(call.module).__name__
    cases = Cases(module, example, further, name)
    example.check_outputs(call.output_names(None, len(cases.outputs)), dynamic_axes)
    args = example.without_ones(cases.cases).args
    trail = Trail(module, example.axes)

    def traced_with(branches: Branches) -> bytes:
        with (
            TracedData(),
            Rewriting(keeping_sizes(module), Roll(), branches).within(module),
            trail.followed(),
        ):
            return trace(module, args)

    try:
        file = with_branches(module, traced_with)
        if call.flattened:
            file = called_as_module(file, call.arguments)
    except Exception as error:
        reason = str(error) if isinstance(error, PipelineError) else one_line(error)
        reason = UNDECIDED if isinstance(error, UndecidedError) else reason
        raise cannot_export("TorchScript", trail.here, with_line(error, reason)) from error
    with quiet_exporter():
        traced = torch.jit.load(io.BytesIO(file))

    def run(tensors: Sequence[Tensor]) -> list[Tensor]:
        if call.flattened and hasattr(traced, OF_TENSORS):
            given, named = call.arguments.with_tensors(tensors)
        else:
            given, named = example.with_tensors(tensors), {}
        with torch.no_grad(), quiet_exporter(), torch_threads(weights_of(module)):
            return example.tensors_of(traced(*given, **named))

    cases.compare("TorchScript", run)
    update_file(Path(path), file)


def _to_onnx(
    module: nn.Module,
    example: Example,
    output_names: Sequence[str],
    opset: int,
    metadata: dict[str, str],
) -> tuple[ExportedProgram, ModelProto]:
    trail = Trail(module, example.axes)
    program = capture(module, example, trail)
    try:
        model = translate(
            program,
            opset_version=opset,
            input_names=example.names,
            output_names=list(output_names),
            dynamic_shapes=example.axes,
        )
        return program, tidy(model, type(module).__name__, metadata)
    except Exception as error:
        raise untranslated(program, error, trail) from error
