"""Which inputs of a module hold lengths of sequences: those by which it packs them."""

from typing import Any

from pipeline.contract.file_samples import Lengths
from pipeline.export.function_mode import Function, FunctionMode
from pipeline.export.module.example import Example


class PackedLengths(FunctionMode):
    """Notes the time axis and the lengths of what a module packs."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[int, list[int]]] = []

    def answer(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Note what is packed."""
        if getattr(func, "__name__", "") == "_pack_padded_sequence":
            data, lengths, batch_first = args
            self.noted.append((data.size(1 if batch_first else 0), lengths.long().tolist()))
        return func(*args, **kwargs)


def lengths_in(example: Example, noted: list[tuple[int, list[int]]]) -> dict[int, Lengths]:
    """Which inputs hold lengths of sequences, by place; floats hold relative ones."""
    found: dict[int, Lengths] = {}
    for time, lengths in noted:
        bounds = [name for name, size in example.sizes.items() if size == time]
        for place, tensor in enumerate(example.tensors):
            relative = tensor.is_floating_point()
            steps = (tensor * time).long() if relative else tensor
            if tensor.dim() == 1 and sorted(steps.tolist()) == sorted(lengths):
                batch = example.axes[place].get(0)
                others = [name for name in bounds if name != batch]
                given = tensor.tolist()
                found[place] = Lengths(
                    of=others[0] if others else time,
                    descending=given == sorted(given, reverse=True),
                    relative=relative,
                )
    return found
