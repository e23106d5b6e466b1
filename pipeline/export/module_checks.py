"""Post-conditions of the export of any module: its graph, and its numbers at other sizes."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import chain, combinations, islice
from math import isfinite
from typing import get_args

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.overrides import TorchFunctionMode

from pipeline.contract.file_samples import Lengths
from pipeline.contract.law import Array, judged
from pipeline.contract.tensors import Contract, ElementType, Integers, TensorSpec
from pipeline.errors import MalformedError, ParityError, one_line
from pipeline.export.checks import dims, format_breaches, recurrent_breaches
from pipeline.export.example import Axes, Example, Sizes, named_axes, run_eagerly
from pipeline.export.refusals import hidden_in_torchscript, kept_in_torchscript
from pipeline.export.traced_layers import traced_layers
from pipeline.network_tensors import BATCH
from pipeline.verify import Case, answer, chained, deviations

_CASES = 8
LONG = 333
"""Steps of one more case: sums and products over a sequence show there what they lose."""
_MOST = 1_000_000  # numbers of its inputs
_GUESSES = 100  # at the axes that were forgotten
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


def check_module_graph(
    model: ModelProto, program: ExportedProgram, example: Example, dynamic_axes: Axes | None
) -> None:
    """Hold the graph against what was traced and declared.

    Raises:
        ParityError: it breaks it; every breach is listed.
    """
    called, different = traced_layers(program)
    wrong = list(recurrent_breaches(model, called))
    breaches = [
        *format_breaches(model),
        *(wrong if any(recurrent_breaches(model, different)) else []),
        *_static_axes(model, named_axes(dynamic_axes)),
    ]
    if breaches:
        raise ParityError(f"the exported graph breaks what it has to be: {'; '.join(breaches)}")


def _static_axes(model: ModelProto, dynamic_axes: Mapping[str, Mapping[int, str]]) -> Iterator[str]:
    for value in (*model.graph.input, *model.graph.output):
        shape = dims(value)
        for axis, name in dynamic_axes.get(value.name, {}).items():
            inside = -len(shape) <= axis < len(shape)
            if not inside or not isinstance(shape[axis], str):
                yield f"axis {axis} of '{value.name}' is not the dynamic '{name}': {shape}"


class _PackedLengths(TorchFunctionMode):
    """Notes the time axis and the lengths of what a module packs."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[int, list[int]]] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if getattr(func, "__name__", "") == "_pack_padded_sequence":
            data, lengths, batch_first = args
            self.noted.append((data.size(1 if batch_first else 0), lengths.long().tolist()))
        return func(*args, **(kwargs or {}))


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
        with _PackedLengths() as packed:
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
        self._short: list[Tensor] | None = None  # a case whose longest sequence does not fill x
        self._lengths = self._find_lengths(packed.noted)
        self._hint = _PADDED if packed.noted else ""
        self.eager = _Eager(module, example, name)
        self.contract = Contract(
            _specs(example.names, example.tensors),
            _specs((f"output {number}" for number in range(len(self.outputs))), self.outputs),
        )
        self.twin: _Eager | None = None
        with suppress(Exception):  # a module that insists on float32 is its own reference
            twin = _Eager(copy.deepcopy(module).double(), example, name, exact=True)
            chained(twin, self.contract, self._case(example.tensors).calls, {})
            self.twin = twin
        self._further = list(further)

    @cached_property
    def cases(self) -> list[list[Tensor]]:
        """The inputs of each case."""
        return [list(tensors) for tensors in self._further] or list(self._random())

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
            if tensors is self._short:
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

    def _case(self, tensors: Sequence[Tensor]) -> Case:
        arrays = map(_array, tensors)
        return Case("", (dict(zip(self.example.names, arrays, strict=True)),))

    def _find_lengths(self, noted: list[tuple[int, list[int]]]) -> dict[int, Lengths]:
        """Which inputs hold lengths of sequences, by place; floats hold relative ones."""
        found: dict[int, Lengths] = {}
        for time, lengths in noted:
            bounds = [name for name, size in self.example.sizes.items() if size == time]
            for place, tensor in enumerate(self.example.tensors):
                relative = tensor.is_floating_point()
                steps = (tensor * time).long() if relative else tensor
                if tensor.dim() == 1 and sorted(steps.tolist()) == sorted(lengths):
                    batch = self.example.axes[place].get(0)
                    others = [name for name in bounds if name != batch]
                    example = tensor.tolist()
                    found[place] = Lengths(
                        of=others[0] if others else time,
                        descending=example == sorted(example, reverse=True),
                        relative=relative,
                    )
        return found

    @property
    def samples(self) -> dict[str, Integers | Lengths]:
        """How inputs of whole numbers and of lengths are drawn, by name."""
        found: dict[str, Integers | Lengths] = {}
        for place, (name, tensor) in enumerate(
            zip(self.example.names, self.example.tensors, strict=True)
        ):
            if place in self._lengths:
                found[name] = self._lengths[place]
            elif not tensor.is_floating_point() and tensor.numel():
                found[name] = Integers(least=int(tensor.min()), most=int(tensor.max()))
        return found

    def _random(self) -> Iterator[list[Tensor]]:
        """Cases at sizes that the example has not, as far as PyTorch can run them."""
        rng = np.random.default_rng(0)
        untried, refusal = set(self.example.sizes), None
        for sizes in self._sizes():
            tensors = self._drawn(sizes, rng)
            try:
                chained(self.eager, self.contract, self._case(tensors).calls, {})
            except MalformedError as error:
                refusal = error
                continue
            untried -= {name for name, size in sizes.items() if size != self.example.sizes[name]}
            yield tensors
        if untried:
            axis = min(untried)
            forgotten = self._forgotten(axis, rng)
            cure = "pass check_inputs, or leave the axis out of dynamic_axes"
            if forgotten:
                places = " and ".join(f"axis {k} of '{name}'" for name, k in forgotten)
                added = ", ".join(f"'{name}': {{{k}: '{axis}'}}" for name, k in forgotten)
                cure = f"it runs where {places} is as long, so add {added} to dynamic_axes"
            raise MalformedError(
                f"{self.name} has a dynamic axis '{axis}' that PyTorch runs at no other size; "
                f"{cure} ({refusal})"
            )
        yield from self._long(rng)
        if self._lengths:
            self._short = self._drawn(
                {n: 3 * size for n, size in self.example.sizes.items()}, rng, 1
            )
            with suppress(MalformedError):
                chained(self.eager, self.contract, self._case(self._short).calls, {})
                yield self._short

    def _long(self, rng: np.random.Generator) -> Iterator[list[Tensor]]:
        """A case of many steps, of the first sizes at which PyTorch runs.

        Its batch is not the example's: a module that keeps the size of its last batch, and asks
        whether it has changed, would be captured with the answer no.
        """
        own = {name: size + (name == BATCH) for name, size in self.example.sizes.items()}
        axes = [name for name, size in own.items() if name != BATCH and size < LONG]
        alone = [{**own, name: LONG} for name in axes]
        several = [{**own, name: -(-LONG // own[name]) * own[name]} for name in axes]
        longest = max((own[name] for name in axes), default=1)
        together = {name: -(-LONG // longest) * own[name] for name in axes}
        for sizes in (*alone, *several, {**own, **together}):
            with suppress(MalformedError):
                tensors = self._drawn(sizes, rng)
                if not axes or sum(y.numel() for y in tensors) > _MOST:
                    continue
                chained(self.eager, self.contract, self._case(tensors).calls, {})
                yield tensors
                return

    def _forgotten(self, symbol: str, rng: np.random.Generator) -> list[tuple[str, int]]:
        """Fixed axes, by names of inputs, with which PyTorch runs at other sizes of ``symbol``."""
        size = self.example.sizes[symbol]
        candidates = [
            (place, axis)
            for place, tensor in enumerate(self.example.tensors)
            for axis in range(tensor.dim())
            if tensor.size(axis) == size and axis not in self.example.axes[place]
        ]
        some = chain.from_iterable(combinations(candidates, count) for count in range(1, 5))
        for further in islice(some, _GUESSES):
            wider = self.example.with_axes(further, symbol)
            with suppress(MalformedError):
                for other in (size + 1, 2 * size + 3):
                    tensors = wider.at({**wider.sizes, symbol: other}, rng)
                    chained(self.eager, self.contract, self._case(tensors).calls, {})
                return [(self.example.names[place], axis) for place, axis in further]
        return []

    def _sizes(self) -> Iterator[Sizes]:
        own = self.example.sizes
        for k in range(_CASES if own else 2):
            sizes = {}
            for place, (name, size) in enumerate(own.items()):
                choices = (1, 7, 2 * size, 4, 13, 3 * size, 2, 32)
                sizes[name] = choices[(k + 3 * place) % len(choices)]
            yield sizes
        if len(own) > 1:  # axes that depend on one another
            yield from ({name: k * size for name, size in own.items()} for k in (2, 3))

    def _drawn(self, sizes: Sizes, rng: np.random.Generator, shorter: int = 0) -> list[Tensor]:
        """Random inputs; the longest sequence is ``shorter`` than its axis."""
        tensors = self.example.at(sizes, rng)
        for place, lengths in self._lengths.items():
            drawn = lengths.fill(tensors[place].shape, rng, sizes, shorter)
            tensors[place] = torch.from_numpy(drawn).to(tensors[place].dtype)
        return tensors


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
