"""Any module with recurrent layers inside, exported to ONNX or TorchScript and checked."""

import copy
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from onnx import ModelProto
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx.experimental import _config as config
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from pipeline.errors import MalformedError, ParityError, PipelineError, UsageError, one_line
from pipeline.export.checks import cpu_session
from pipeline.export.example import Axes, Example
from pipeline.export.module_checks import Cases, check_module_graph
from pipeline.export.onnx_graph import tidy, translate
from pipeline.export.quiet import quiet_exporter, without_stderr
from pipeline.export.rewrite import Rewriting
from pipeline.export.sizes import keeping_sizes
from pipeline.export.swap import exportable
from pipeline.export.torchscript import trace
from pipeline.export.trail import Frozen, Trail
from pipeline.signature import DEFAULT_OPSET, OPSETS
from pipeline.storage import update_file
from pipeline.threads import torch_threads, weights_of

SCAN = (
    "torch's scan, `from torch._higher_order_ops import scan`, `def step(state, x_t): ...; return "
    "next_state, y_t`, `state, y = scan(step, state, x, dim=1)`"
)
"""The three lines that replace a Python loop over time."""


def export_onnx(
    module: nn.Module,
    example_inputs: Tensor | Sequence[Any],
    path: str | Path,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_axes: Axes | None = None,
    opset: int = DEFAULT_OPSET,
    check_inputs: Sequence[Sequence[Any]] = (),
) -> None:
    """Write ``module`` as one ONNX file whose recurrent layers are one node each.

    The recurrent layers of ``torch.nn`` are found wherever they are inside; a bidirectional layer
    is one node for both directions. The module is exported as it is in ``eval()``, and left as it
    was.

    Args:
        module: any module; what it keeps between calls has to go in and out through ``forward``.
        example_inputs: a tensor, or the arguments of ``forward``; tensors of any shape, also
            inside tuples, lists and dictionaries.
        path: the file to write; a previous one is replaced only by one that passed its checks.
        input_names: names of the input tensors; by default those of the parameters.
        output_names: names of the output tensors; by default ``output``, or ``output_0`` and on.
        dynamic_axes: the axes of each tensor that may have any size, with a name for each:
            ``{"x": {0: "batch", 1: "time"}}``. All others of the inputs are fixed to the example's
            size. An axis of an output follows from the inputs; here it is checked to be dynamic.
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
    module, name = _ready(module), type(module).__name__
    example = Example(module, example_inputs, input_names, dynamic_axes)
    cases = Cases(module, example, check_inputs, name)
    outputs = _output_names(output_names, len(cases.outputs))
    example.check_outputs(outputs, dynamic_axes)
    program, model = _to_onnx(module, example.without_ones(cases.cases), outputs, opset)
    check_module_graph(model, program, example, dynamic_axes)
    file = model.SerializeToString(deterministic=True)
    try:
        session = cpu_session(file)
    except Exception as error:  # its exceptions have no common base of their own
        raise ParityError(f"ONNX Runtime does not load {name}: {one_line(error)}") from error

    def run(tensors: Sequence[Tensor]) -> list[Tensor]:
        arrays = (tensor.numpy() for tensor in tensors)
        feeds = dict(zip(example.names, arrays, strict=True))
        return [torch.from_numpy(y) for y in session.run(None, feeds)]

    cases.compare("ONNX", run)
    update_file(Path(path), file)


def export_torchscript(
    module: nn.Module,
    example_inputs: Tensor | Sequence[Any],
    path: str | Path,
    *,
    input_names: Sequence[str] | None = None,
    dynamic_axes: Axes | None = None,
    check_inputs: Sequence[Sequence[Any]] = (),
) -> None:
    """Trace ``module`` into a file for ``torch.jit.load`` in Python and C++.

    Arguments are as in :func:`export_onnx`; ``dynamic_axes`` says which axes have to go on
    working at other sizes.

    Raises:
        MalformedError: the module cannot be traced; says which submodule, and why.
        ParityError: the trace gives other numbers than PyTorch.
        UsageError: names or axes cannot be.
        StorageError: the file system refused.
    """
    module, name = _ready(module), type(module).__name__
    example = Example(module, example_inputs, input_names, dynamic_axes)
    example.check_outputs((), dynamic_axes)
    cases = Cases(module, example, check_inputs, name)
    trail = Trail(module, example.axes)
    try:
        with (
            Rewriting(keeping_sizes(module)).within(module),
            trail.followed(),
        ):
            file = trace(module, example.without_ones(cases.cases).args)
    except Exception as error:
        raise _cannot_export("TorchScript", trail.here, one_line(error)) from error
    with quiet_exporter():
        traced = torch.jit.load(io.BytesIO(file))

    def run(tensors: Sequence[Tensor]) -> list[Tensor]:
        with torch.no_grad(), quiet_exporter(), torch_threads(weights_of(module)):
            return example.tensors_of(traced(*example.with_tensors(tensors)))

    cases.compare("TorchScript", run)
    update_file(Path(path), file)


def _ready(module: nn.Module) -> nn.Module:
    """A copy to work on, on the CPU, without dropout and gradients."""
    try:
        return copy.deepcopy(module).cpu().eval().requires_grad_(False)
    except Exception as error:
        raise MalformedError(
            f"{type(module).__name__} cannot be copied: {one_line(error)}; keep no tensors with "
            "gradients in its attributes"
        ) from error


def _output_names(names: Sequence[str] | None, count: int) -> list[str]:
    if names is None:
        return ["output"] if count == 1 else [f"output_{i}" for i in range(count)]
    if len(names) != count or len(set(names)) != count:
        raise UsageError(f"{count} different output names are needed; there are {', '.join(names)}")
    return list(names)


def _to_onnx(
    module: nn.Module, example: Example, output_names: Sequence[str], opset: int
) -> tuple[ExportedProgram, ModelProto]:
    trail = Trail(module, example.axes)
    program = _capture(module, example, trail)
    try:
        model = translate(
            program,
            opset_version=opset,
            input_names=example.names,
            output_names=list(output_names),
            dynamic_shapes=example.axes,
        )
        return program, tidy(model, type(module).__name__, {})
    except Exception as error:
        place, reason = _untranslated(program, error, trail)
        raise _cannot_export("ONNX", place, reason) from error


def _capture(module: nn.Module, example: Example, trail: Trail) -> ExportedProgram:
    # Without this, sizes of 1 are constants.
    ones_may_grow = config.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    try:
        with (
            Rewriting(keeping_sizes(module)).within(module),
            exportable(module),
            trail.followed(),
            quiet_exporter(),
            torch.no_grad(),
            ones_may_grow,
            without_stderr(),
        ):
            return torch.export.export(
                module, example.args, dynamic_shapes=example.dynamic_shapes(), strict=False
            )
    except PipelineError as error:
        raise _cannot_export("ONNX", trail.here, str(error)) from error
    except GuardOnDataDependentSymNode as error:
        reason = "a Python if, loop or size in it depends on numbers; use tensor operations"
        raise _cannot_export("ONNX", trail.here, reason) from error
    except Exception as error:
        if not trail.frozen:
            raise _cannot_export("ONNX", trail.here, one_line(error)) from error
        axis, frozen = next(iter(trail.frozen.items()))
        reason = _why_frozen(axis, example.sizes[axis], frozen)
        raise _cannot_export("ONNX", frozen.place, reason) from error


def _why_frozen(axis: str, size: int, frozen: Frozen) -> str:
    """What freezes an axis at one size, and the cure."""
    if frozen.loop is not None:
        return (
            f"the Python loop at {frozen.at} runs over '{axis}', which a graph leaves open; write "
            f"it as {SCAN}; or leave '{axis}' out of dynamic_axes"
        )
    where = f"{frozen.at} works" if frozen.at else "it works"
    return (
        f"{where} at {axis} {size} alone; compute with x.size() as it is, and with tensors, or "
        f"leave '{axis}' out of dynamic_axes"
    )


def _untranslated(program: ExportedProgram, error: Exception, trail: Trail) -> tuple[str, str]:
    """The submodule with the operation that ONNX has no operator for, and the reason."""
    chain: list[BaseException] = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    reason = " ".join(str(chain[-1]).split())[:300]
    # Decomposed, an operation is called like the one it was, with other endings.
    failed = re.search(r"node %(\w+?)(_\d+)? ", " ".join(map(str, chain)))
    modules = dict(trail.root.named_modules())
    for node in program.graph.nodes:
        stack = node.meta.get("nn_module_stack")
        if failed and failed[1] in node.name and stack:
            name = list(stack.values())[-1][0]
            return trail.describe(modules.get(name, trail.root)), reason
    return trail.describe(trail.root), reason


def _cannot_export(kind: str, place: str, reason: str) -> MalformedError:
    return MalformedError(f"cannot export {place} to {kind}: {reason}")
