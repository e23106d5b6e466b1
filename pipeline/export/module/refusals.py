"""What ONNX, or ONNX Runtime, cannot hold: refused before anything is made of it."""

from collections.abc import Iterable, Sequence

import torch
from onnx import ModelProto, TensorProto
from torch import Tensor, nn

from pipeline.errors import MalformedError, ParityError, PipelineError, either
from pipeline.runtimes.torchscript import kept_attributes

_HALVES = {TensorProto.FLOAT16: torch.float16, TensorProto.BFLOAT16: torch.bfloat16}


def refuse_for_onnx(module: nn.Module, inputs: Sequence[Tensor]) -> None:
    """Refuse a module by the kinds of its layers and numbers.

    ONNX Runtime ends the process, or fails, at recurrent layers of some types of numbers, so no
    session is made to find out.

    Raises:
        MalformedError: it has quantized layers, weights in TorchScript, recurrent layers of another
            type than float32, or bfloat16 anywhere.
    """
    for name, child in module.named_modules():
        kind = getattr(child, "original_name", type(child).__name__)  # the former in TorchScript
        where = f"'{name}' ({kind})" if name else kind
        if _is_quantized(child):
            raise _cannot(
                where, "it is quantized by torch, for which ONNX has no such layers; export the "
                "float module, and quantize the file if you have to"
            )  # fmt: skip
        if isinstance(child, torch.jit.ScriptModule) and (kept := kept_attributes(child)):
            raise _cannot(where, hidden_in_torchscript(kept))
        if isinstance(child, torch.jit.ScriptModule) and _has_weights(child):
            raise _cannot(
                where, "it is TorchScript with weights, which ONNX's exporter does not take; give "
                "the Python module that was scripted or traced, or use export_torchscript"
            )  # fmt: skip
        if isinstance(child, nn.RNNBase):
            for dtype in _other_types(child.parameters(recurse=False)):
                raise _cannot(where, _cure(f"ONNX Runtime runs no recurrent layer of {dtype}"))
    if "bfloat16" in _other_types((*module.parameters(), *module.buffers(), *inputs)):
        reason = _cure("ONNX Runtime runs few operators of bfloat16, and takes no inputs of it")
        raise _cannot(type(module).__name__, reason)


def kept_in_torchscript(module: nn.Module) -> list[str]:
    """The attributes that TorchScript within ``module`` sets when it is called."""
    scripted = (child for child in module.modules() if isinstance(child, torch.jit.ScriptModule))
    return sorted({name for child in scripted for name in kept_attributes(child)})


def hidden_in_torchscript(kept: Sequence[str]) -> str:
    """Why TorchScript that sets the attributes ``kept`` is no function, and what helps."""
    names = ", ".join(f"'{name}'" for name in kept)
    return (
        f"it is TorchScript that keeps {names} from call to call, where no export can take hold of "
        "them; give the Python module that it was made of, or one that takes them as arguments and "
        "gives them back, with the weights of its state_dict(); in PyTorch, the TorchScript file "
        "runs as it is"
    )


def other_numbers(model: ModelProto, module: nn.Module, inputs: Sequence[Tensor]) -> list[str]:
    """The types of floats, other than float32, of a module, its inputs, and within its graph."""
    found = _other_types((*module.parameters(), *module.buffers(), *inputs))
    return found or _within(model)


def unloadable(model: ModelProto, module: nn.Module, reason: str) -> PipelineError:
    """The refusal of a graph of ``module`` that ONNX Runtime did not take, for ``reason``."""
    text = f"ONNX Runtime does not run {type(module).__name__}: {reason}"
    others = _other_types((*module.parameters(), *module.buffers()))
    if others:
        return MalformedError(_cure(f"{text}, with weights of {either(others)}"))
    inside = _within(model)
    if inside:
        return MalformedError(
            f"{text}, with numbers of {either(inside)} inside; leave torch.autocast and the like "
            "out of forward"
        )
    return ParityError(text)


def _within(model: ModelProto) -> list[str]:
    casts = {a.i for node in model.graph.node if node.op_type == "Cast" for a in node.attribute}
    return [str(dtype).removeprefix("torch.") for code, dtype in _HALVES.items() if code in casts]


def _other_types(tensors: Iterable[Tensor]) -> list[str]:
    """The names of the types of floats that are not float32."""
    floats = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    return sorted(str(dtype).removeprefix("torch.") for dtype in floats - {torch.float32})


def _cure(fault: str) -> str:
    return f"{fault}; give it as module.float(), with float32 inputs"


def _is_quantized(child: nn.Module) -> bool:
    own = (*child.parameters(recurse=False), *child.buffers(recurse=False))
    return "quantized" in type(child).__module__.split(".") or any(t.is_quantized for t in own)


def _has_weights(child: torch.jit.ScriptModule) -> bool:
    """Whether TorchScript has weights; if it has a loop as well, that is told elsewhere."""
    looped = child._c._has_method("forward") and " = prim::Loop(" in str(child.inlined_graph)
    return not looped and bool(child.state_dict())


def _cannot(where: str, reason: str) -> MalformedError:
    return MalformedError(f"cannot export {where} to ONNX: {reason}")
