"""The arguments that a module is called with, as ``torch.onnx.export`` takes them."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from pipeline.errors import MalformedError
from pipeline.export.module.nested import (
    Path,
    holds_tensors,
    is_tensor,
    leaves,
    rebuilt,
    with_tensors,
)


class Arguments:
    """The arguments of ``forward``, in the order of its parameters.

    ``inputs`` is one argument, or a sequence of them. Its last element may be a dictionary of
    arguments by name, and so may ``inputs`` as a whole, where ``forward`` has such parameters.
    Arrays of NumPy become tensors; every tensor is a copy of its own, on the CPU.

    Raises:
        MalformedError: ``forward`` does not take them, or a graph cannot.
    """

    def __init__(self, module: nn.Module, inputs: Any, kwargs: Mapping[str, Any] | None) -> None:
        self._name = type(module).__name__
        self._bound = _bound(module, inputs, kwargs)
        self._bound.arguments = rebuilt(
            self._bound.arguments,
            iter([self._taken(path, leaf) for path, leaf in leaves(self._bound.arguments)]),
        )
        found = list(leaves(self._bound.arguments))
        kinds = {key: each.kind for key, each in self._bound.signature.parameters.items()}
        named = [key for key, kind in kinds.items() if kind is inspect.Parameter.VAR_KEYWORD]
        # The keys of ``**named`` are names of arguments themselves.
        self.paths: list[Path] = [
            path[1:] if path[0] in named else path for path, leaf in found if is_tensor(leaf)
        ]
        self.tensors: list[Tensor] = [leaf for _, leaf in found if is_tensor(leaf)]
        if not self.tensors:
            raise MalformedError(
                f"there is no tensor among the example inputs of {self._name}; give it torch "
                "tensors or NumPy arrays (lists of numbers are constants)"
            )

    @property
    def signature(self) -> inspect.Signature:
        """The parameters of ``forward``."""
        return self._bound.signature

    @property
    def values(self) -> dict[str, Any]:
        """Those by the parameters of ``forward``."""
        return self._bound.arguments

    @property
    def args(self) -> tuple[Any, ...]:
        """Those by place."""
        return self._bound.args

    @property
    def kwargs(self) -> dict[str, Any]:
        """Those by name alone."""
        return self._bound.kwargs

    def with_tensors(self, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Those by place and by name, with other tensors."""
        values = with_tensors(self._bound.arguments, tensors)
        bound = inspect.BoundArguments(self._bound.signature, values)
        return bound.args, bound.kwargs

    def _taken(self, path: Path, leaf: Any) -> Any:
        """A leaf as a graph takes it: a tensor, or a constant."""
        where = f"{self._name}.forward takes a {type(leaf).__name__} as '{path[0]}'"
        if isinstance(leaf, np.ndarray):
            if leaf.dtype.kind not in "biufc":
                raise MalformedError(f"{where} of type {leaf.dtype}; a graph takes numbers only")
            return torch.from_numpy(leaf.astype(leaf.dtype.newbyteorder("="), order="C"))
        if isinstance(leaf, Tensor):
            if leaf.layout != torch.strided or leaf.is_quantized or leaf.is_meta:
                kind = "meta" if leaf.is_meta else leaf.layout if not leaf.is_quantized else "qint"
                raise MalformedError(f"{where} that is {kind}; a graph takes dense numbers only")
            return leaf.detach().cpu().clone(memory_format=torch.contiguous_format)
        if isinstance(leaf, np.generic):
            return leaf.item()
        if isinstance(leaf, PackedSequence):
            raise MalformedError(
                f"{where}, which a graph cannot; take the padded batch and its lengths and call "
                "pack_padded_sequence inside forward"
            )
        if holds_tensors(leaf):
            raise MalformedError(
                f"{where}, whose tensors a graph cannot take; give them as arguments of their "
                "own, or in a tuple, a list, a dictionary or a dataclass"
            )
        return leaf


def signature_of(module: nn.Module) -> inspect.Signature:
    """The parameters of ``forward``, of a module in TorchScript as well."""
    if not isinstance(module, torch.jit.ScriptModule):
        return inspect.signature(module.forward)
    if not module._c._has_method("forward"):
        raise MalformedError(f"{type(module).__name__} is TorchScript without a method forward")
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    own = module._c._get_method("forward").schema.arguments[1:]  # the first is self
    return inspect.Signature(
        [
            inspect.Parameter(
                each.name,
                kinds[each.kwarg_only],
                default=each.default_value if each.has_default_value() else inspect._empty,
            )
            for each in own
        ]
    )


def _bound(
    module: nn.Module, inputs: Any, kwargs: Mapping[str, Any] | None
) -> inspect.BoundArguments:
    signature = signature_of(module)
    refusal: TypeError | None = None
    for args, named in _readings(signature, inputs, kwargs):
        try:
            return signature.bind(*args, **named)
        except TypeError as error:
            refusal = refusal or error
    raise MalformedError(
        f"{type(module).__name__}.forward does not take these example inputs: {refusal}"
    ) from refusal


def _readings(
    signature: inspect.Signature, inputs: Any, kwargs: Mapping[str, Any] | None
) -> list[tuple[Sequence[Any], Mapping[str, Any]]]:
    """What ``inputs`` may mean, the likeliest first."""
    if isinstance(inputs, Mapping):
        whole: list[Any] = [inputs]
        if kwargs is None and _are_keywords(signature, 0, inputs):
            return [((), inputs)]
        return [(whole, kwargs or {})]
    if not isinstance(inputs, tuple | list):
        return [([inputs], kwargs or {})]
    plain: tuple[Sequence[Any], Mapping[str, Any]] = (inputs, kwargs or {})
    last = inputs[-1] if inputs and kwargs is None else None
    if isinstance(last, Mapping) and _are_keywords(signature, len(inputs) - 1, last):
        return [(inputs[:-1], last)]
    if hasattr(inputs, "_fields"):  # a named tuple, which may be the one argument
        return [plain, ([inputs], kwargs or {})]
    return [plain]


def _are_keywords(signature: inspect.Signature, place: int, named: Mapping[Any, Any]) -> bool:
    """Whether ``named``, after ``place`` arguments, is arguments by name, and no argument."""
    parameters = list(signature.parameters.values())
    by_place = [p for p in parameters if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
    try:
        signature.bind(*[None] * place, named)
        takes_it = True
    except TypeError:
        takes_it = False
    try:
        signature.bind(*[None] * place, **named)
    except TypeError:  # also where a key is no string
        return False
    if not takes_it:
        return True
    parameter = by_place[min(place, len(by_place) - 1)]
    meant = parameter.kind is parameter.VAR_POSITIONAL or set(named) <= set(signature.parameters)
    annotation = str(parameter.annotation).lower()
    return meant and "dict" not in annotation and "mapping" not in annotation
