"""torch's scan in an export, and for ``torch.jit.trace`` as a loop that TorchScript keeps."""

import linecache
from collections.abc import Callable
from types import CellType, FunctionType
from typing import Any, cast

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan
from torch.fx.experimental import _config as config
from torch.nn import Parameter
from torch.utils import _pytree as pytree


def open_scan(combine_fn: Callable[..., Any], init: Any, xs: Any, **options: Any) -> Any:
    """``torch._higher_order_ops.scan``, while a module is exported or traced."""
    if torch._C._get_tracing_state() is not None:
        return traced_scan(combine_fn, init, xs, **options)
    init = pytree.tree_map(contiguous, init)  # as the states after it are
    # The step is compiled, and there a size of 1 has to be a constant, or nothing broadcasts.
    with config.patch(backed_size_oblivious=False):  # type: ignore[attr-defined]
        return scan(combine_fn, init, xs, **options)


def contiguous(tensor: Tensor) -> Tensor:
    """A copy of ``tensor``, one number after the other."""
    return tensor.clone(memory_format=torch.contiguous_format)


def traced_scan(
    combine_fn: Callable[..., Any], init: Any, xs: Any, *, dim: int = 0, reverse: bool = False
) -> tuple[Any, Any]:
    """``torch._higher_order_ops.scan`` of the same arguments, while a module is traced.

    The step is traced by itself, on the first slice. The loop around it is compiled.
    """
    states, of_states = pytree.tree_flatten(init)
    sequences, of_sequences = pytree.tree_flatten(xs)
    sequences = [x.movedim(dim, 0).flip(0) if reverse else x.movedim(dim, 0) for x in sequences]
    cells = _tensors_around(combine_fn)
    around = [cell.cell_contents for cell in cells]  # the same in every step
    count = len(states) + len(sequences)
    outputs: list[Any] = []  # how the outputs of a step are nested

    def step(*given: Tensor) -> tuple[Tensor, ...] | Tensor:
        state = pytree.tree_unflatten(given[: len(states)], of_states)
        x = pytree.tree_unflatten(given[len(states) : count], of_sequences)
        for cell, tensor in zip(cells, given[count:], strict=True):
            cell.cell_contents = tensor
        after, y = combine_fn(state, x)
        leaves, of_outputs = pytree.tree_flatten(y)
        outputs.append(of_outputs)
        together = (*pytree.tree_leaves(after), *leaves)
        return together if len(together) > 1 else together[0]

    tracing = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
    try:
        sample = [state.detach().clone() for state in states]
        sample += [x[0].detach().clone() for x in sequences]
        sample += [tensor.detach().clone() for tensor in around]
        one_step = torch.jit.trace(step, tuple(sample), check_trace=False)
        sizes = len(states), len(sequences), outputs[-1].num_leaves, len(around)
        loop = _loop(one_step, *sizes)
    finally:
        for cell, tensor in zip(cells, around, strict=True):
            cell.cell_contents = tensor
        torch._C._set_tracing_state(tracing)  # type: ignore[attr-defined]
    found = loop(*states, *sequences, *around)
    found = (found,) if isinstance(found, Tensor) else found
    last = pytree.tree_unflatten(found[: len(states)], of_states)
    ys = [y.flip(0) if reverse else y for y in found[len(states) :]]
    return last, pytree.tree_unflatten([y.movedim(0, dim) for y in ys], outputs[-1])


def _tensors_around(function: Callable[..., Any]) -> list[CellType]:
    """The variables around ``function``, and around functions it calls, that hold a tensor."""
    found: list[CellType] = []
    seen, waiting = set(), [function]
    while waiting:
        current = waiting.pop()
        seen.add(id(current))
        for cell in getattr(current, "__closure__", None) or ():
            try:
                content = cell.cell_contents
            except ValueError:  # not set yet
                continue
            if isinstance(content, FunctionType) and id(content) not in seen:
                waiting.append(content)
            if isinstance(content, Tensor) and not isinstance(content, Parameter):
                found += [cell] if all(cell is not other for other in found) else []
    return found


def _loop(
    one_step: Callable[..., Any], states: int, sequences: int, outputs: int, around: int
) -> Callable[..., Any]:
    """``one_step`` for every step of the sequences, its outputs stacked along axis 0."""
    state = [f"s{k}" for k in range(states)]
    xs, ys = [f"x{k}" for k in range(sequences)], [f"y{k}" for k in range(outputs)]
    same = [f"same{k}" for k in range(around)]
    lines = [
        f"def loop({', '.join(state + xs + same)}):",
        *(f"    all_{y}: List[torch.Tensor] = []" for y in ys),
        "    for t in range(x0.size(0)):",
        f"        {', '.join(state + ys)} = one_step("
        f"{', '.join([*state, *(f'{x}[t]' for x in xs), *same])})",
        *(f"        all_{y}.append({y})" for y in ys),
        f"    return {', '.join([*state, *(f'torch.stack(all_{y})' for y in ys)])}",
    ]
    source = "\n".join([*lines, ""])
    file = "<pipeline scan>"  # where torch.jit.script asks for the source
    names = {"one_step": one_step, "torch": torch, "__name__": "scan"}
    exec(compile(source, file, "exec"), names)
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    try:
        compiled = cast(Callable[..., Any], torch.jit.script(names["loop"]))
    finally:
        del linecache.cache[file]
    return compiled
