"""Example inputs of a module: their names and dynamic axes, and others of their kind."""

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from pipeline.errors import MalformedError, UsageError, one_line, unknown
from pipeline.export.quiet import quiet_exporter
from pipeline.threads import torch_threads, weights_of

Axes = Mapping[str, Mapping[int, str]]
Sizes = dict[str, int]  # of dynamic axes, by name


def is_tensor(leaf: object) -> bool:
    """Whether a leaf of nested inputs or outputs is a tensor."""
    return isinstance(leaf, Tensor)


class Example:
    """What ``module`` is called with; tensors may lie in tuples, lists and dictionaries.

    A tensor is called as its parameter of ``forward``, and ``state_0``, ``state_1`` where a
    parameter ``state`` has several; other values are part of the exported graph.

    Raises:
        MalformedError: ``forward`` does not take these inputs.
        UsageError: names or axes do not fit them.
    """

    def __init__(
        self,
        module: nn.Module,
        inputs: Tensor | Sequence[Any],
        input_names: Sequence[str] | None,
        dynamic_axes: Axes | None,
    ) -> None:
        self.args = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        try:
            self._arguments = inspect.signature(module.forward).bind(*self.args).arguments
        except TypeError as error:
            raise MalformedError(
                f"{type(module).__name__}.forward does not take these example inputs: {error}"
            ) from error
        names = []
        for parameter, value in self._arguments.items():
            leaves = pytree.tree_leaves(value, is_leaf=lambda x: isinstance(x, PackedSequence))
            if any(isinstance(leaf, PackedSequence) for leaf in leaves):
                raise MalformedError(
                    f"{type(module).__name__}.forward takes a PackedSequence as '{parameter}', "
                    "which a graph cannot; take the padded batch and its lengths and call "
                    "pack_padded_sequence inside forward"
                )
            count = sum(map(is_tensor, leaves))
            single = is_tensor(value)
            names += [parameter] if single else [f"{parameter}_{i}" for i in range(count)]
        self.tensors: list[Tensor] = self.tensors_of(self.args)
        self.names = list(input_names) if input_names is not None else names
        if len(self.names) != len(names) or len(set(self.names)) != len(names):
            raise UsageError(
                f"{len(names)} different input names are needed, for {', '.join(names)}; "
                f"there are {', '.join(self.names) or 'none'}"
            )
        self.axes = [dict((dynamic_axes or {}).get(name, {})) for name in self.names]
        self.sizes: Sizes = {}
        for name, tensor, axes in zip(self.names, self.tensors, self.axes, strict=True):
            for axis, symbol in axes.items():
                if not 0 <= axis < tensor.dim() or not isinstance(symbol, str):
                    raise UsageError(
                        f"dynamic_axes of '{name}' has {axis}: {symbol!r}; an axis of it is 0 to "
                        f"{tensor.dim() - 1}, and its value a name"
                    )
                if self.sizes.setdefault(symbol, tensor.size(axis)) != tensor.size(axis):
                    raise UsageError(
                        f"axis '{symbol}' is {self.sizes[symbol]} and, in '{name}', "
                        f"{tensor.size(axis)}; give the two sizes two names"
                    )

    @staticmethod
    def tensors_of(values: object) -> list[Tensor]:
        """The tensors in nested inputs or outputs, in order."""
        return [leaf for leaf in pytree.tree_leaves(values) if is_tensor(leaf)]

    def with_tensors(self, tensors: Sequence[Tensor]) -> tuple[Any, ...]:
        """The inputs, with other tensors in the places of the example's."""
        leaves, spec = pytree.tree_flatten(self.args)
        others = iter(tensors)
        args = [next(others) if is_tensor(leaf) else leaf for leaf in leaves]
        return tuple(pytree.tree_unflatten(args, spec))

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

    def dynamic_shapes(self) -> dict[str, Any]:
        """The dynamic axes in the form that ``torch.export.export`` wants."""
        axes = iter(self.axes)
        dynamic = torch.export.Dim.DYNAMIC
        return {
            parameter: pytree.tree_map(
                lambda leaf: dict.fromkeys(next(axes), dynamic) if is_tensor(leaf) else None, value
            )
            for parameter, value in self._arguments.items()
        }

    def check_outputs(self, output_names: Sequence[str], dynamic_axes: Axes | None) -> None:
        """Refuse ``dynamic_axes`` of a tensor that does not exist."""
        for name in dynamic_axes or {}:
            if name not in (*self.names, *output_names):
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
                mean, deviation = tensor.double().mean().item(), tensor.double().std().item()
                scale = deviation if np.isfinite(deviation) and deviation > 0 else 1.0
                values = rng.normal(mean if np.isfinite(mean) else 0.0, scale, shape)
            elif tensor.numel():
                low, high = int(tensor.min()), int(tensor.max())
                values = rng.integers(low, high, shape, endpoint=True)
            else:
                values = np.zeros(shape)
            drawn.append(torch.from_numpy(values).to(tensor.dtype))
        return drawn


def run_eagerly(module: nn.Module, args: Sequence[Any], name: str) -> list[Tensor]:
    """The tensors that ``module`` gives in eager PyTorch.

    Raises:
        MalformedError: it fails, or gives something that is no tensor.
    """
    try:
        with torch.no_grad(), quiet_exporter(), torch_threads(weights_of(module)):
            outputs = module(*args)
    except Exception as error:
        raise MalformedError(f"{name} fails in PyTorch already: {one_line(error)}") from error
    leaves = pytree.tree_leaves(outputs, is_leaf=lambda x: isinstance(x, PackedSequence))
    for leaf in leaves:
        if not is_tensor(leaf) and leaf is not None:
            raise MalformedError(
                f"{name} gives a {type(leaf).__name__}, which a graph cannot; give tensors only"
                + (", after pad_packed_sequence" if isinstance(leaf, PackedSequence) else "")
            )
    return [leaf for leaf in leaves if leaf is not None]
