"""Example inputs of a module: their names and dynamic axes, and others of their kind."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pipeline.errors import MalformedError, PipelineError, UsageError, one_line, unknown
from pipeline.export.module.arguments import Arguments
from pipeline.export.module.blame import user_line
from pipeline.export.module.nested import is_tensor as is_tensor
from pipeline.export.module.nested import names_of, numbered, results_of, tensors_of
from pipeline.export.quiet import quiet_exporter
from pipeline.threads import torch_threads, weights_of

Axes = Mapping[str, Mapping[int, str] | Sequence[int]]
Sizes = dict[str, int]  # of dynamic axes, by name


def named_axes(axes: Axes | None) -> dict[str, dict[int, str]]:
    """Axes with a name each; a list of axes of ``x`` gets ``x_dynamic_axes_1`` and on.

    Raises:
        UsageError: they are no mapping of names to axes.
    """
    found: dict[str, dict[int, str]] = {}
    if not isinstance(axes or {}, Mapping):
        raise UsageError(f"dynamic_axes is a {type(axes).__name__}; give {{'x': {{0: 'batch'}}}}")
    for name, value in (axes or {}).items():
        if isinstance(value, Mapping):
            found[name] = dict(value)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            found[name] = {axis: f"{name}_dynamic_axes_{k}" for k, axis in enumerate(value, 1)}
        else:
            raise UsageError(
                f"dynamic_axes of '{name}' is {value!r}; give axes with names, {{0: 'batch'}}, or "
                "a list of axes"
            )
    return found


def _axes_of(name: str, rank: int, axes: Mapping[int, str]) -> dict[int, str]:
    """The axes of an input that has ``rank`` axes, counted from the first."""
    found: dict[int, str] = {}
    for axis, symbol in axes.items():
        inside = isinstance(axis, int) and -rank <= axis < rank
        if not inside or not isinstance(symbol, str):
            raise UsageError(
                f"dynamic_axes of '{name}' has {axis}: {symbol!r}; an axis of it is 0 to "
                f"{rank - 1}, and its value a name"
            )
        if found.setdefault(axis % rank, symbol) != symbol:
            raise UsageError(
                f"dynamic_axes of '{name}' has two names for its axis {axis % rank}, "
                f"'{found[axis % rank]}' and '{symbol}'; give one"
            )
    return found


class Example:
    """What ``module`` is called with; tensors may lie in tuples, lists, mappings and dataclasses.

    A tensor is called as its parameter of ``forward``, or as its key or field where it has one,
    and ``state_0``, ``state_1`` where a parameter ``state`` has several; other values are part of
    the exported graph.

    Raises:
        MalformedError: ``forward`` does not take these inputs.
        UsageError: names or axes do not fit them.
    """

    def __init__(
        self,
        module: nn.Module,
        inputs: Any,
        input_names: Sequence[str] | None,
        dynamic_axes: Axes | None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self._module = module
        self.arguments = Arguments(module, inputs, kwargs)
        self.args = self.arguments.args
        self.tensors: list[Tensor] = self.arguments.tensors
        names = names_of(self.arguments.paths)
        self.names = list(input_names) if input_names is not None else names
        if len(self.names) != len(names) or len(set(self.names)) != len(names):
            raise UsageError(
                f"{len(names)} different input names are needed, for {', '.join(names)}; "
                f"there are {', '.join(self.names) or 'none'}"
            )
        # Axes may also go by the numbers that tensors have in their parameter.
        self._numbered = [] if input_names is not None else numbered(self.arguments.paths)
        named = named_axes(dynamic_axes)
        for name, other in zip(self.names, self._numbered, strict=False):
            if other in named and other not in self.names:
                named.setdefault(name, named[other])
        self.axes = [
            _axes_of(name, tensor.dim(), named.get(name, {}))
            for name, tensor in zip(self.names, self.tensors, strict=True)
        ]
        self.sizes: Sizes = {}
        for name, tensor, axes in zip(self.names, self.tensors, self.axes, strict=True):
            for axis, symbol in axes.items():
                if self.sizes.setdefault(symbol, tensor.size(axis)) != tensor.size(axis):
                    raise UsageError(
                        f"axis '{symbol}' is {self.sizes[symbol]} and, in '{name}', "
                        f"{tensor.size(axis)}; give the two sizes two names"
                    )

    @staticmethod
    def tensors_of(values: object) -> list[Tensor]:
        """The tensors in nested inputs or outputs, in order."""
        return tensors_of(values)

    def tensors_like(self, inputs: Any) -> list[Tensor]:
        """The tensors of other inputs, in the forms that those of the example may have.

        Raises:
            UsageError: there are more or fewer than in the example.
        """
        try:
            tensors = Arguments(self._module, inputs, None).tensors
        except MalformedError:
            tensors = tensors_of(inputs)
        if len(tensors) != len(self.names):
            raise UsageError(
                f"check_inputs has {len(tensors)} tensors, not {len(self.names)}; give each the "
                "arguments that the example has"
            )
        return tensors

    def with_tensors(self, tensors: Sequence[Tensor]) -> tuple[Any, ...]:
        """The inputs, with other tensors in the places of the example's."""
        return self.arguments.with_tensors(tensors)[0]

    def without_ones(self, cases: Sequence[Sequence[Tensor]]) -> "Example":
        """This example, or the first of ``cases`` in which no dynamic axis has the size 1.

        Tracing takes a size of 1 for a constant where PyTorch broadcasts it.
        """
        for tensors in (self.tensors, *cases):
            sizes = {
                symbol: tensor.size(axis)
                for tensor, axes in zip(tensors, self.axes, strict=True)
                for axis, symbol in axes.items()
            }
            if 1 not in sizes.values():
                other = copy.copy(self)
                other.args, other.tensors = self.with_tensors(tensors), list(tensors)
                other.sizes = sizes
                return other
        return self

    def flat(self, module: nn.Module) -> "Example":
        """The same tensors as the arguments of ``module``, by place."""
        axes = dict(zip(self.names, self.axes, strict=True))
        other = Example(module, self.tensors, self.names, axes)
        other._numbered = self._numbered
        return other

    def with_axes(self, further: Sequence[tuple[int, int]], symbol: str) -> "Example":
        """This example with further dynamic axes, by place of the tensor and axis."""
        other = copy.copy(self)
        other.axes = [dict(axes) for axes in self.axes]
        for place, axis in further:
            other.axes[place][axis] = symbol
        return other

    def dynamic_shapes(self) -> dict[str, Any]:
        """The dynamic axes in the form that ``torch.export.export`` wants."""
        axes = iter(self.axes)
        dynamic = torch.export.Dim.DYNAMIC
        return {
            parameter: pytree.tree_map(
                lambda leaf: dict.fromkeys(next(axes), dynamic) if is_tensor(leaf) else None, value
            )
            for parameter, value in self.arguments.values.items()
        }

    def check_outputs(self, output_names: Sequence[str], dynamic_axes: Axes | None) -> None:
        """Refuse ``dynamic_axes`` of a tensor that does not exist."""
        for name in dynamic_axes or {}:
            if name not in (*self.names, *self._numbered, *output_names):
                raise unknown("input or output", name, (*self.names, *output_names))

    def at(self, sizes: Sizes, rng: np.random.Generator) -> list[Tensor]:
        """Random tensors like the example's, with dynamic axes of these sizes.

        Integers are drawn between the example's smallest and largest, floats with its mean and
        deviation (1 where it has none).
        """
        drawn = []
        values: NDArray[Any]
        for tensor, axes in zip(self.tensors, self.axes, strict=True):
            shape = [sizes[axes[k]] if k in axes else size for k, size in enumerate(tensor.shape)]
            if tensor.is_floating_point():
                wide = tensor.double()
                mean = wide.mean().item()
                deviation = wide.std().item() if wide.numel() > 1 else 0.0
                scale = deviation if np.isfinite(deviation) and deviation > 0 else 1.0
                values = rng.normal(mean if np.isfinite(mean) else 0.0, scale, shape)
            elif tensor.numel():
                low, high = int(tensor.min()), int(tensor.max())
                values = rng.integers(low, high, shape, endpoint=True)
            else:
                values = np.zeros(shape)
            drawn.append(torch.from_numpy(np.asarray(values)).to(tensor.dtype))
        return drawn


def run_eagerly(module: nn.Module, args: Sequence[Any], name: str) -> list[Tensor]:
    """The tensors that ``module`` gives in eager PyTorch.

    Raises:
        MalformedError: it fails, or gives something that is no tensor.
    """
    try:
        with torch.no_grad(), quiet_exporter(), torch_threads(weights_of(module)):
            outputs = module(*args)
    except PipelineError:  # of what the module gives
        raise
    except Exception as error:
        line = user_line(error)
        raise MalformedError(
            f"{name} fails in PyTorch already{f', at {line}' if line else ''}: {one_line(error)}"
        ) from error
    return list(results_of(outputs, name).values())
