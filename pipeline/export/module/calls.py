"""A module as graphs call it: with tensors by place, and with tensors as its results.

Other arguments are constants. The module goes on running its own ``forward``, with what the example
has around its tensors.
"""

import inspect
import keyword
from collections.abc import Sequence
from types import MethodType
from typing import Any

import torch
from torch import nn

from pipeline.errors import UsageError
from pipeline.export.module.example import Example
from pipeline.export.module.nested import Path, is_plain, is_tensor, names_of, results_of


class TensorCall:
    """``module``, and its example, with tensors alone as arguments and results.

    Where ``nested``, tuples of tensors stay as they are, and of the results lists and dictionaries
    as well. The module is changed: its instance gets a ``forward``.
    """

    def __init__(self, module: nn.Module, example: Example, nested: bool = False) -> None:
        self._nested = nested
        self._inputs = example.names
        self.arguments = example.arguments
        by_place = not example.arguments.kwargs and _is_by_place(example.args)
        self._keeps_inputs = nested and by_place
        self._paths: list[Path] = []  # of the last results
        self.module, self.example = module, example
        if isinstance(module, nn.RNNBase) and by_place:
            return  # one of PyTorch's own layers, whose results are by place too
        self.module = module if _runs_its_forward(module) else _within_another(module)
        forward = type(self.module).forward
        call = self

        def with_tensors_alone(self: nn.Module, *given: Any) -> Any:
            args, named = call._given(given)
            return call._results(forward(self, *args, **named), type(self).__name__)

        with_tensors_alone.__wrapped__ = forward  # type: ignore[attr-defined]  # whoever rewrites it
        if not self._keeps_inputs:
            with_tensors_alone.__signature__ = self._signature()  # type: ignore[attr-defined]
        vars(self.module)["forward"] = MethodType(with_tensors_alone, self.module)
        if not self._keeps_inputs:
            self.example = example.flat(self.module)

    def _signature(self) -> inspect.Signature:
        usable = all(n.isidentifier() and not keyword.iskeyword(n) for n in self._inputs)
        names = self._inputs if usable and "self" not in self._inputs else None
        names = names or [f"input_{place}" for place in range(len(self._inputs))]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Signature([inspect.Parameter(name, kind) for name in ("self", *names)])

    def _given(self, given: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        return (given, {}) if self._keeps_inputs else self.arguments.with_tensors(given)

    @property
    def flattened(self) -> bool:
        """Whether the module had other arguments than those by which it is called now."""
        return self.example.arguments is not self.arguments

    def _results(self, results: Any, name: str) -> Any:
        found = results_of(results, name)
        self._paths = list(found)
        if is_tensor(results) or (self._nested and is_plain(results)):
            return results
        return tuple(found.values())

    def output_names(self, given: Sequence[str] | None, count: int) -> list[str]:
        """Names of ``count`` results: ``given``, or keys or fields, or ``output_0`` and on.

        Raises:
            UsageError: those given are too many or too few.
        """
        if given is not None:
            if len(given) != count or len(set(given)) != count:
                raise UsageError(
                    f"{count} different output names are needed; there are {', '.join(given)}"
                )
            return list(given)
        paths = self._paths or [(place,) for place in range(count)]
        if count == 1 and not any(isinstance(key, str) for key in paths[0]):
            return ["output"]
        names = names_of([("output", *path) for path in paths])
        return [f"output_{name}" if name in self._inputs else name for name in names]


def _is_by_place(value: Any) -> bool:
    """Whether there are tensors alone, in tuples or not."""
    if type(value) is tuple:
        return all(map(_is_by_place, value))
    return is_tensor(value)


def _runs_its_forward(module: nn.Module) -> bool:
    """Whether a call of ``module`` is one of the ``forward`` of its class, and no more."""
    return (
        not isinstance(module, torch.jit.ScriptModule)
        and not isinstance(module, nn.RNNBase)  # which the export itself gives a forward
        and "forward" not in vars(module)
        and type(module).__call__ is nn.Module.__call__
        and not module._forward_pre_hooks
        and not module._forward_hooks
    )


class _Holder(nn.Module):
    """Calls another module, with its hooks."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)


def _within_another(module: nn.Module) -> nn.Module:
    name = getattr(module, "original_name", type(module).__name__)  # of a module in TorchScript
    holder = _Holder(module)
    holder.__class__ = type(name, (_Holder,), {"__module__": __name__})
    return holder.eval()
