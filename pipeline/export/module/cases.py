"""The numbers of an exported module, compared with PyTorch's on inputs the export has not seen."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from math import isfinite
from typing import get_args

import torch
from torch import Tensor, nn

from pipeline.contract.file_samples import Lengths
from pipeline.contract.law import Array, judged
from pipeline.contract.tensors import Contract, ElementType, Integers, TensorSpec
from pipeline.errors import MalformedError, ParityError, one_line
from pipeline.export.module.example import Example, run_eagerly
from pipeline.export.module.other_sizes import LONG, OtherSizes
from pipeline.export.module.packed import PackedLengths, lengths_in
from pipeline.export.module.refusals import hidden_in_torchscript, kept_in_torchscript
from pipeline.verify import Case, answer, chained, deviations

_NUDGES = 2  # further runs of PyTorch by which its own error is known
_PADDED = (
    "; a graph keeps packed sequences padded, so unpack them by pad_packed_sequence with the "
    "total_length of the input before anything that works across steps"
)

_LONGER = (
    "; shorter sequences are right, so a sum or product over the whole sequence loses numbers; "
    "have it done step by step, or give check_inputs as long as the sequences you use"
)

Run = Callable[[Sequence[Tensor]], Sequence[Tensor]]


class Cases:
    """Inputs that the export has not seen, with PyTorch's answers in float32 and float64.

    Random ones, or ``further``, which are the user's own.

    Raises:
        MalformedError: PyTorch fails on the example, or the module is no function of its inputs;
            from :attr:`cases` also, PyTorch fails on every other size of an axis.
    """

    def __init__(
        self,
        module: nn.Module,
        example: Example,
        further: Sequence[Sequence[Tensor]],
        name: str,
    ) -> None:
        self.module, self.example, self.name = module, example, name
        with PackedLengths() as packed:
            before = _kept_tensors(module)
            self.outputs = run_eagerly(module, example.args, name)
            after = _kept_tensors(module)
            again = run_eagerly(module, example.args, name)
        pairs = [(_array(a), _array(b)) for a, b in zip(self.outputs, again, strict=True)]
        if not all(judged("", b, a, [a]).within for a, b in pairs):
            kept = sorted(key for key in after if not _equal(before.get(key, []), after[key]))
            raise MalformedError(
                f"{name} gives other numbers when it is called again, {_why(module, kept)}"
            )
        self._others = OtherSizes(example, lengths_in(example, packed.noted), self._runs, name)
        self._hint = _PADDED if packed.noted else ""
        self.eager = _Eager(module, example, name)
        self.contract = Contract(
            _specs(example.names, example.tensors),
            _specs((f"output {number}" for number in range(len(self.outputs))), self.outputs),
        )
        self.twin: _Eager | None = None
        with suppress(Exception):  # a module that insists on float32 is its own reference
            twin = _Eager(copy.deepcopy(module).double(), example, name, exact=True)
            self._runs(example.tensors, twin)
            self.twin = twin
        self._further = list(further)

    @cached_property
    def cases(self) -> list[list[Tensor]]:
        """The inputs of each case."""
        return [list(tensors) for tensors in self._further] or list(self._others)

    def compare(self, kind: str, run: Run) -> None:
        """Compare ``run`` with PyTorch on every case.

        Raises:
            ParityError: it fails, or a number differs by more than the tolerance.
        """
        shorter = False  # were right
        for tensors in self.cases:
            where = ", ".join(
                f"{name} {list(tensor.shape)}"
                for name, tensor in zip(self.example.names, tensors, strict=True)
            )
            is_long = shorter and max(max(y.shape, default=0) for y in tensors) >= LONG
            hint = _LONGER if is_long else self._hint
            truth = answer(self.contract, self._case(tensors), self.eager, self.twin, _NUDGES)
            if is_long and not _is_finite(truth.own.values()):
                raise MalformedError(
                    f"{self.name} itself gives numbers that are not finite, in PyTorch and "
                    f"float32, at {where}, where in float64 they are{hint}"
                )
            try:
                given = run(tensors)
            except Exception as error:
                raise ParityError(
                    f"{kind} of {self.name} fails where PyTorch does not, at {where}: "
                    f"{one_line(error)}; nothing was written{self._hint}"
                ) from error
            found = self.contract.named(map(_array, given))
            if tensors is self._others.short:
                # PyTorch drops the steps that no sequence reaches; a graph pads them.
                found = {
                    name: y[tuple(map(slice, truth.exact[0][name].shape))]
                    for name, y in found.items()
                }
            try:
                places = [place for (place,) in deviations([found], truth).values()]
                worst = max(places, key=lambda place: place.share)
                problem = "" if worst.within else f"{worst.tensor} is off by {worst.error:.2g}"
            except ValueError as error:
                problem = str(error)
            if problem:
                raise ParityError(
                    f"{kind} of {self.name} gives other numbers than PyTorch: {problem}, at "
                    f"{where}; nothing was written{hint}"
                )
            shorter = True

    def _runs(self, tensors: Sequence[Tensor], module: "_Eager | None" = None) -> None:
        chained(module or self.eager, self.contract, self._case(tensors).calls, {})

    def _case(self, tensors: Sequence[Tensor]) -> Case:
        arrays = map(_array, tensors)
        return Case("", (dict(zip(self.example.names, arrays, strict=True)),))

    @property
    def samples(self) -> dict[str, Integers | Lengths]:
        """How inputs of whole numbers and of lengths are drawn, by name."""
        found: dict[str, Integers | Lengths] = {}
        for place, (name, tensor) in enumerate(
            zip(self.example.names, self.example.tensors, strict=True)
        ):
            if place in self._others.lengths:
                found[name] = self._others.lengths[place]
            elif not tensor.is_floating_point() and tensor.numel():
                found[name] = Integers(least=int(tensor.min()), most=int(tensor.max()))
        return found


def _why(module: nn.Module, kept: Sequence[str]) -> str:
    """Why a module gives other numbers when it is called again, and what helps."""
    if hidden := kept_in_torchscript(module):
        return f"since {hidden_in_torchscript(hidden)}"
    reason = f"it keeps {' and '.join(kept)}" if kept else "it draws random numbers"
    return (
        f"since {reason}; a graph is a function of its inputs, so take them as inputs and give "
        "their next values back"
    )


def _kept_tensors(module: nn.Module) -> dict[str, list[Tensor]]:
    """Every buffer and attribute with tensors, by its qualified name."""
    return {
        f"'{name}.{key}'" if name else f"'{key}'": [t.clone() for t in Example.tensors_of(value)]
        for name, child in module.named_modules()
        for key, value in (*vars(child).items(), *child._buffers.items())
        if key != "_buffers"
    }


def _equal(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return len(some) == len(others) and all(map(torch.equal, some, others))


class _Eager:
    """A module in eager PyTorch, called by the names of the example's tensors."""

    def __init__(self, module: nn.Module, example: Example, name: str, exact: bool = False) -> None:
        self.module, self.example, self.name, self.exact = module, example, name, exact

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call; raises MalformedError where PyTorch fails."""
        tensors = []
        for name, like in zip(self.example.names, self.example.tensors, strict=True):
            double = self.exact and like.is_floating_point()
            tensors.append(torch.tensor(inputs[name], dtype=torch.double if double else like.dtype))
        args = self.example.with_tensors(tensors)
        return [_array(tensor) for tensor in run_eagerly(self.module, args, self.name)]


def _is_finite(errors: Iterable[float]) -> bool:
    return all(map(isfinite, errors))


def _array(tensor: Tensor) -> Array:
    """The numbers of a tensor; NumPy has no bfloat16."""
    found: Array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return found


def _specs(names: Iterable[str], tensors: Iterable[Tensor]) -> tuple[TensorSpec, ...]:
    """What is known of tensors by an example of them.

    Raises:
        MalformedError: one holds what no graph does.
    """
    specs = []
    for name, tensor in zip(names, tensors, strict=True):
        kind = _array(tensor).dtype.name
        if kind not in get_args(ElementType):
            raise MalformedError(f"{name} is {kind}; a graph holds numbers and booleans only")
        shape = tuple(tensor.shape)
        specs.append(TensorSpec(name=name, type=kind, shape=shape, meaning="as in the example"))
    return tuple(specs)
