"""The proof that a pure module with its states is the module that the user has.

1. The pure function of a whole sequence gives what the module gives that the user has, from its
   initial state, in eager PyTorch; without a time axis, so do several calls in a row.
2. A sequence in pieces, and in single steps, gives what the whole gives, from the initial states
   and from states that other inputs have led to.
3. Rows of a batch, permuted, and each alone, give what the whole batch gives.

Every comparison is by the law, with the module in float64 for the exact numbers if it runs so.
Then 2 and 3 are done once more in float64 alone, where a small leak cannot hide in the tolerance.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from pipeline.contract.law import FLOAT32, Array, Tolerance, judged
from pipeline.contract.tensors import Contract, Tensors
from pipeline.errors import MalformedError, one_line
from pipeline.export.module.example import is_tensor
from pipeline.export.state.arguments import run, tensors_of
from pipeline.export.state.divergence import CallLog, first_to_differ
from pipeline.export.state.kept import get, put, snapshot
from pipeline.export.state.pure import Pure, State
from pipeline.export.state.sized_inputs import SizedInputs
from pipeline.verify import Case, answer, chained, deviations, replay

_CALLS = 4  # in a row, where there is no time axis
_EXACT = Tolerance(rtol=1e-7, atol=1e-9)  # of float64 against itself


class BrokenError(Exception):
    """A comparison failed: along which axis the cut was, and what differs."""

    def __init__(self, symbol: str | None, problem: str, place: str | None = None) -> None:
        super().__init__(problem)
        self.symbol, self.problem, self.place = symbol, problem, place


class Function:
    """A pure module that is called with arrays, by the names of a contract."""

    def __init__(self, pure: Pure, contract: Contract, name: str, double: bool = False) -> None:
        self.pure, self.contract, self.name, self.double = pure, contract, name, double

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call; raises MalformedError where PyTorch fails."""
        tensors = []
        for spec in self.contract.inputs:
            kind = getattr(torch, spec.type)
            double = self.double and kind.is_floating_point
            tensors.append(torch.tensor(inputs[spec.name], dtype=torch.double if double else kind))
        results = run(self.pure, tensors, {}, self.name)
        return [tensor.numpy() for tensor in results]


class Proof:
    """Comparisons of ``pure`` with its ``states``, as ``contract`` has them.

    ``draw`` gives inputs. ``name`` is the class of the user's module.
    """

    def __init__(
        self, pure: Pure, contract: Contract, states: Sequence[State], draw: SizedInputs, name: str
    ) -> None:
        self.pure, self.contract, self.states = pure, contract, states
        self.draw, self.name = draw, name
        self.model = Function(pure, contract, name)

    def check(self) -> None:
        """All comparisons.

        Raises:
            BrokenError: one fails.
            MalformedError: the module itself fails in PyTorch.
        """
        self._as_eager()
        exact = [(self.model, self.twin, FLOAT32)]
        if self.twin is not None:
            exact.append((self.twin, None, _EXACT))
        for model, twin, tolerance in exact:
            for case in self._cases():
                self._pieces(model, twin, case, tolerance)
            if self.contract.batch:
                self._rows(model, twin, tolerance)

    @cached_property
    def twin(self) -> Function | None:
        """The pure module in float64, if it runs."""
        with suppress(Exception):
            twin = Function(doubled(self.pure), self.contract, self.name, double=True)
            chained(twin, self.contract, [self._inputs(1)], self._start(self.draw.batch_of(1)))
            return twin
        return None

    def _as_eager(self) -> None:
        """Compare with the module itself, from its initial state, at batch sizes that it has."""
        for tensors in self._sequences():
            calls, found = [], []
            self.pure.kept.reset(self.pure.body)
            state = self._start(tensors[0][0])
            for _, each in tensors:
                given = self._named(each)
                complete = [*each, *(torch.from_numpy(state[s.name]) for s in self.states)]
                calls.append(self._eager(complete))
                (result,) = chained(self.model, self.contract, [given], state)
                state = {s.name: result[s.next_name] for s in self.states}
                found.append([result[spec.name] for spec in self._outputs])
            for expected, got in zip(calls, found, strict=True):
                for spec, y, own in zip(self._outputs, got, expected, strict=True):
                    self._within(spec.name, y, own)

    def _sequences(self) -> Iterator[list[tuple[int, list[Tensor]]]]:
        """Inputs of one call, or of several in a row where the state is all in the module."""
        own = self.draw.batch
        fixed = any(s.axis is not None for s in self.states[: len(self.pure.kept.states)])
        for k in (0, 1):
            batch = own if fixed or not k else self.draw.batch_of(3)
            count = _CALLS if self.states and not self.pure.chains else 1
            yield [(batch, self.draw.at(batch, self.draw.time_of(5 + 2 * k))) for _ in range(count)]

    def _eager(self, tensors: Sequence[Tensor]) -> list[Array]:
        """The results, but for states, of the body itself; it goes on from what it kept."""
        pure, free = self.pure, len(self.pure.inputs)
        arguments = dict(zip(pure.inputs, tensors[:free], strict=True))
        pairs = zip(pure.pairs, tensors[len(tensors) - len(pure.pairs) :], strict=True)
        arguments |= {argument: tensor for (argument, _), tensor in pairs}
        args, kwargs = pure.arguments.with_tensors([arguments[k] for k in sorted(arguments)])
        leaves = tensors_of(run(pure.body, args, kwargs, self.name), self.name)
        paired = {result for _, result in pure.pairs}
        return [leaf.numpy().copy() for k, leaf in enumerate(leaves) if k not in paired]

    def _cases(self) -> Iterator[Case]:
        """Sequences in pieces and steps, from initial states and from carried ones."""
        if not self.contract.time:
            return
        sizes: tuple[tuple[int, int, tuple[int, ...]], ...]
        sizes = (3, 7, (2, 1, 4)), (1, 6, (1,) * 6), (2, 9, (8, 1))
        for rows, steps, parts in sizes:
            batch, time = self.draw.batch_of(rows), self.draw.time_of(steps)
            cuts = parts if steps == time else (1,) * time
            start = self._start(batch)
            if batch > 1 and self.states:
                start = self._carried(batch)
            given = self._named(self.draw.at(batch, time))
            order = tuple(reversed(range(batch))) if self.contract.batch else None
            calls = self.contract.cut(given, cuts)
            yield Case("pieces", calls, start, order=order, batch=batch, time=time)

    def _pieces(
        self, model: Function, twin: Function | None, case: Case, tolerance: Tolerance
    ) -> None:
        self._compare(model, twin, self.contract, case, tolerance, self.contract.time)

    def _rows(self, model: Function, twin: Function | None, tolerance: Tolerance) -> None:
        """A batch of rows, each alone, against all of them at once."""
        batch = self.draw.batch_of(3)
        alone = replace(self.contract, states=(), time=self.contract.batch)
        start = self._carried(batch) if self.states else {}
        given = {**self._named(self.draw.at(batch, self.draw.time_of(4))), **start}
        case = Case("rows", alone.cut(given, (1,) * batch), {}, batch=batch)
        self._compare(model, twin, alone, case, tolerance, self.contract.batch)

    def _compare(
        self,
        model: Function,
        twin: Function | None,
        contract: Contract,
        case: Case,
        tolerance: Tolerance,
        symbol: str | None,
    ) -> None:
        truth = answer(contract, case, model, twin)
        try:
            found = replay(model, truth.contract, truth.case)
            places = [
                each for several in deviations(found, truth, tolerance).values() for each in several
            ]
        except (MalformedError, ValueError) as error:
            cause = error.__cause__  # of PyTorch, where it fails on a piece
            problem = one_line(cause) if isinstance(cause, Exception) else str(error)
            raise BrokenError(symbol, problem, self._blamed(case, contract, symbol)) from error
        worst = max(places, key=lambda each: each.share)
        if not worst.within:
            problem = f"{worst.tensor} is off by {worst.error:.2g}"
            raise BrokenError(symbol, problem, self._blamed(case, contract, symbol))

    def _blamed(self, case: Case, contract: Contract, symbol: str | None) -> str | None:
        """The submodule that gives other numbers in pieces; None if none does by itself.

        One row of the batch is taken, so that what merges batch and time stays in order.
        """
        calls, start = case.calls, case.start
        if symbol == self.contract.time and self.contract.batch:
            calls = tuple(contract.rows(call, [0]) for call in calls)
            start = contract.rows(start, [0])
        model = self.twin or self.model
        together = contract.joined(calls, symbol)
        whole, pieces = CallLog(model.pure.body), []
        with suppress(MalformedError), whole.kept():
            chained(model, contract, [together], start)
        state: Mapping[str, Array] = start
        for call in calls:
            pieces.append(CallLog(model.pure.body))
            try:
                with pieces[-1].kept():
                    (result,) = chained(model, contract, [call], dict(state))
            except MalformedError:
                return pieces[-1].running
            state = contract.carried(result)
        return first_to_differ(whole, pieces)

    @property
    def _outputs(self) -> list[Any]:
        return list(self.contract.data_outputs)

    def _within(self, tensor: str, found: Array, expected: Array) -> None:
        try:
            far = judged(tensor, found, expected, [])
        except ValueError as error:
            raise BrokenError(None, str(error)) from error
        if not far.within:
            raise BrokenError(None, f"{tensor} is off by {far.error:.2g}")

    def _inputs(self, time: int) -> Tensors:
        return self._named(self.draw.at(self.draw.batch_of(1), self.draw.time_of(time)))

    def _named(self, tensors: Sequence[Tensor]) -> Tensors:
        names = [spec.name for spec in self.contract.inputs]
        return {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=False)}

    def _start(self, batch: int) -> Tensors:
        return {state.name: state.at(batch).numpy() for state in self.states}

    def _carried(self, batch: int) -> Tensors:
        """The states after other inputs."""
        given = self._named(self.draw.at(batch, self.draw.time_of(5)))
        (result,) = chained(self.model, self.contract, [given], self._start(batch))
        return {state.name: result[state.next_name] for state in self.states}


def doubled(pure: Pure) -> Pure:
    """A copy in float64, with the tensors that it has in attributes too."""

    def double(leaf: Any) -> Any:
        return leaf.double() if is_tensor(leaf) and leaf.is_floating_point() else leaf

    twin = copy.deepcopy(pure).double()
    for place in snapshot(twin.body):
        held = get(twin.body, place)
        if not isinstance(held, Tensor) or held.dtype == torch.float32:
            put(twin.body, place, pytree.tree_map(double, held))
    settled = {place: pytree.tree_map(double, value) for place, value in twin.kept.settled.items()}
    twin.kept = replace(twin.kept, settled=settled)
    return twin
