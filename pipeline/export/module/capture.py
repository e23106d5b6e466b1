"""A module captured by ``torch.export``, or refused with the submodule, the line and the cure."""

import re

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx.experimental import _config as config
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from pipeline.errors import MalformedError, PipelineError, one_line
from pipeline.export.author import line_in_trace
from pipeline.export.control_flow.branches import Branches, UndecidedError, with_branches
from pipeline.export.control_flow.rewrite import Rewriting
from pipeline.export.control_flow.roll import Roll
from pipeline.export.control_flow.sizes import keeping_sizes
from pipeline.export.module.aliases import aliases_followed
from pipeline.export.module.blame import user_line
from pipeline.export.module.example import Example
from pipeline.export.module.swap import exportable
from pipeline.export.module.trail import Frozen, Trail
from pipeline.export.quiet import quiet_exporter, without_stderr

SCAN = (
    "torch's scan, `from torch._higher_order_ops import scan`, `def step(state, x_t): ...; return "
    "next_state, y_t`, `state, y = scan(step, state, x, dim=1)`"
)
"""The three lines that replace a Python loop over time."""
UNDECIDED = "a Python if, loop or size depends on numbers; use tensor operations"
_SCRIPTED = (
    "it is TorchScript with a loop, which export_torchscript keeps and ONNX's exporter cannot "
    f"read; give the Python class without torch.jit.script, its loop written as {SCAN}"
)


def capture(module: nn.Module, example: Example, trail: Trail) -> ExportedProgram:
    """``module`` as a program with dynamic axes, its recurrent layers as ONNX's operators.

    Raises:
        MalformedError: it cannot be captured; says where, why, and what helps.
    """
    roll = Roll()

    def captured(branches: Branches) -> ExportedProgram:
        # Without this, sizes of 1 are constants.
        ones_may_grow = config.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
        with (
            Rewriting(keeping_sizes(module), roll, branches).within(module),
            exportable(module),
            trail.followed(),
            aliases_followed(module),
            quiet_exporter(),
            torch.no_grad(),
            ones_may_grow,
            without_stderr(),
        ):
            return torch.export.export(
                module, example.args, dynamic_shapes=example.dynamic_shapes(), strict=False
            )

    try:
        return with_branches(module, captured)
    except Exception as error:
        scripted = _scripted_loop(module)
        if scripted is not None:
            raise cannot_export("ONNX", trail.describe(scripted), _SCRIPTED) from error
        if trail.frozen and not isinstance(error, PipelineError):
            axis, frozen = next(iter(trail.frozen.items()))
            reason = _why_frozen(axis, example.sizes[axis], frozen)
            raise cannot_export("ONNX", frozen.place, reason) from error
        reason = str(error) if isinstance(error, PipelineError) else one_line(error)
        if isinstance(error, GuardOnDataDependentSymNode | UndecidedError):
            reason = UNDECIDED
        if roll.rolled and not isinstance(error, PipelineError):
            reason = f"a Python loop does not become a scan as it stands ({reason}); write {SCAN}"
        raise cannot_export("ONNX", trail.here, with_line(error, reason)) from error


def _scripted_loop(module: nn.Module) -> nn.Module | None:
    """A child that is TorchScript and has a loop, which TorchScript alone keeps."""
    for child in module.modules():
        if isinstance(child, torch.jit.ScriptModule) and " = prim::Loop(" in _graph_of(child):
            return child
    return None


def _graph_of(child: torch.jit.ScriptModule) -> str:
    return str(child.inlined_graph) if hasattr(child, "forward") else ""  # or it has no method


def with_line(error: Exception, reason: str) -> str:
    """``reason``, after the line of the author that it comes from."""
    line = user_line(error)
    return f"at {line}, {reason}" if line else reason


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


def untranslated(program: ExportedProgram, error: Exception, trail: Trail) -> MalformedError:
    """What says which operation of ``program`` ONNX has no operator for, and in which submodule."""
    chain: list[BaseException] = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    reason = " ".join(str(chain[-1]).split())[:300]
    place = trail.describe(trail.root)
    # Decomposed, an operation is called like the one it was, with other endings.
    failed = re.search(r"node %(\w+?)(_\d+)? ", " ".join(map(str, chain)))
    modules = dict(trail.root.named_modules())
    for node in program.graph.nodes:
        stack = node.meta.get("nn_module_stack")
        if failed and failed[1] in node.name and stack:
            place = trail.describe(modules.get(list(stack.values())[-1][0], trail.root))
            if line := line_in_trace(node.meta.get("stack_trace") or ""):
                reason = f"at {line}, {reason}"
            break
    return cannot_export("ONNX", place, reason)


def cannot_export(kind: str, place: str, reason: str) -> MalformedError:
    """The error for a submodule that no file of this kind can hold."""
    return MalformedError(f"cannot export {place} to {kind}: {reason}")
