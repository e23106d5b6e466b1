"""The contract of a pure module: names, types and shapes, with the symbols of dynamic axes."""

import re
from collections.abc import Sequence
from typing import get_args

from torch import Tensor

from pipeline.contract.tensors import Contract, ElementType, TensorSpec
from pipeline.errors import MalformedError
from pipeline.export.module.example import Example
from pipeline.export.state.arguments import run
from pipeline.export.state.pure import Pure, State
from pipeline.export.state.sized_inputs import SizedInputs

Shape = tuple[int | str, ...]


def contract_of(
    pure: Pure,
    example: Example,
    draw: SizedInputs,
    states: Sequence[State],
    results: Sequence[str],
    name: str,
) -> Contract:
    """The contract of ``pure``, whose outputs but for states are called ``results``.

    An axis of an output has the symbol of the input's axis that it follows. One that follows an
    axis without being as long has a symbol of its own.

    Raises:
        MalformedError: a type is none of a graph's, or the module runs at no other size of an axis.
    """
    taken = {*example.names, *(state.name for state in states)}
    taken |= {state.next_name for state in states}
    names = [unique(result, taken) for result in results]
    shapes = _shapes(pure, example, draw, states, names, name)
    inputs = [
        _spec(
            each, tensor, tuple(axes.get(k, size) for k, size in enumerate(tensor.shape)), "input"
        )
        for each, tensor, axes in zip(example.names, example.tensors, example.axes, strict=True)
    ]
    outputs = [
        _spec(each, y, shape, "output") for each, (y, shape) in zip(names, shapes, strict=True)
    ]
    for state in states:
        shape = tuple(
            draw.batch_symbol if k == state.axis and draw.batch_symbol else size
            for k, size in enumerate(state.value.shape)
        )
        inputs.append(_spec(state.name, state.value, shape, f"state: {state.where}"))
        outputs.append(_spec(state.next_name, state.value, shape, f"next value of {state.name}"))
    return Contract(
        tuple(inputs),
        tuple(outputs),
        tuple((state.name, state.next_name) for state in states),
        draw.batch_symbol,
        draw.time_symbol,
    )


def unique(name: str, taken: set[str]) -> str:
    """``name`` in letters of identifiers, with a number if it is ``taken``; it is taken then."""
    name = re.sub(r"\W", "_", name).strip("_") or "tensor"
    others = (f"{name}_{k}" for k in range(2, len(taken) + 3))
    found = name if name not in taken else next(each for each in others if each not in taken)
    taken.add(found)
    return found


def _shapes(
    pure: Pure,
    example: Example,
    draw: SizedInputs,
    states: Sequence[State],
    names: Sequence[str],
    name: str,
) -> list[tuple[Tensor, Shape]]:
    """Each output at the example's sizes, and its shape."""

    def outputs(**others: int) -> list[Tensor]:
        sizes = example.sizes | others
        batch = sizes[draw.batch_symbol] if draw.batch_symbol else 1
        time = sizes[draw.time_symbol] if draw.time_symbol else 1
        given = [*draw.at(batch, time, sizes), *(state.at(batch) for state in states)]
        return list(run(pure, given, {}, name))[: len(names)]

    own = outputs()
    shapes: list[list[int | str]] = [list(y.shape) for y in own]
    for symbol, size in example.sizes.items():
        tried = 0
        for other in (size + 3, 2 * size):  # what halves an axis takes even sizes alone
            try:
                results = outputs(**{symbol: other})
            except MalformedError as error:
                if not tried and other == 2 * size:
                    raise MalformedError(
                        f"{name} has a dynamic axis '{symbol}' that PyTorch does not run at size "
                        f"{other}; leave it out of axes ({error})"
                    ) from error
                continue
            tried += 1
            for place, (y, result) in enumerate(zip(own, results, strict=True)):
                if y.dim() != result.dim():
                    raise MalformedError(
                        f"{name} gives {names[place]} with other axes at another '{symbol}'"
                    )
                for axis in range(y.dim()):
                    if y.size(axis) != result.size(axis):
                        same = (y.size(axis), result.size(axis)) == (size, other)
                        its_own = f"{names[place]}_axis_{axis}"
                        before = shapes[place][axis]
                        shapes[place][axis] = symbol if same and before != its_own else its_own
    return [(y, tuple(shape)) for y, shape in zip(own, shapes, strict=True)]


def _spec(name: str, tensor: Tensor, shape: Shape, meaning: str) -> TensorSpec:
    kind = str(tensor.dtype).removeprefix("torch.")
    if kind not in get_args(ElementType):
        raise MalformedError(
            f"'{name}' is {kind}; a contract has {', '.join(get_args(ElementType))}"
        )
    return TensorSpec(name=name, type=kind, shape=shape, meaning=meaning[:200])
