"""Golden trajectories: chained calls with their results, which every client can replay."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from pipeline.contract.law import FLOAT32
from pipeline.contract.manifest import FORMAT
from pipeline.contract.stored import stored
from pipeline.contract.tensors import Contract, Tensors
from pipeline.verify import Model, chained

Draw = Callable[[int, int, int], Tensors]
"""Inputs of a batch size and a number of steps, from a place in the data on."""

_READ_BEFORE = 50  # steps that are read to reach a state that was carried


@dataclass(frozen=True)
class Call:
    """One call of a model: its inputs and its outputs by name, in the order of the contract."""

    inputs: Tensors
    outputs: Tensors


@dataclass(frozen=True)
class Exact:
    """A model in float64, and where its inputs come from.

    ``draw`` gives the inputs, ``initial`` the states that a number of streams start from. Steps are
    counted in units of ``unit``, the smallest piece that a sequence may be cut into.
    """

    contract: Contract
    model: Model
    draw: Draw
    initial: Callable[[int], Tensors]
    unit: int = 1

    def pieces(self, batch: int, cuts: Sequence[int], start: int = 0) -> Sequence[Tensors]:
        """Inputs of chained calls: one sequence cut into ``cuts``, or so many calls of one step."""
        batch = batch if self.contract.batch else 1
        if self.contract.time is None:
            return [self.draw(batch, 1, start + place) for place in range(len(cuts))]
        steps = [self.unit * cut for cut in cuts]
        return self.contract.cut(self.draw(batch, sum(steps), start), steps)

    def calls(self, pieces: Sequence[Tensors], states: Tensors | None = None) -> list[Call]:
        """Chained calls, from ``states`` or else the initial ones, with their results.

        The results are those of float64, rounded to the types of the contract, so they do not
        depend on the float32 rounding of one machine.
        """
        contract, calls = self.contract, []
        carried = states if states is not None else self.initial(self._batch(pieces[0]))
        results = chained(self.model, contract, pieces, carried)
        for piece, exact in zip(pieces, results, strict=True):
            given = {**piece, **carried}
            calls.append(Call(_rounded(contract.inputs, given), _rounded(contract.outputs, exact)))
            carried = {before: exact[after] for before, after in contract.states}
        return calls

    def _batch(self, piece: Tensors) -> int:
        axes = {name: self.contract.axis(self.contract.batch, name) for name in piece}
        return next((piece[name].shape[at] for name, at in axes.items() if at is not None), 1)


def _rounded(specs: Sequence[Any], tensors: Tensors) -> Tensors:
    return {spec.name: tensors[spec.name].astype(spec.type) for spec in specs}


def golden_trajectories(
    exact: Exact, strange: Sequence[Tensors] | None = None
) -> dict[str, list[Call]]:
    """The trajectories of ``golden.json``; ``strange`` are inputs that training never gave."""
    pieces, calls = exact.pieces, exact.calls
    if exact.contract.states:
        last = calls(pieces(1, [_READ_BEFORE]))[0].outputs
        carried = {before: last[after] for before, after in exact.contract.states}
        found = {
            "one stream from its start": calls(pieces(1, [1, 2, 7])),
            "three streams at once": calls(pieces(3, [4, 1])),
            "from a state that was carried": calls(pieces(1, [1, 3], _READ_BEFORE), carried),
        }
    else:
        found = {
            "one sequence": calls(pieces(1, [10])),
            "one step": calls(pieces(1, [1])),
            "three sequences at once": calls(pieces(3, [5])),
        }
    if strange is not None:
        found["input that training did not know"] = calls(strange)
    return found


def golden_json(
    name: str, contract: Contract, trajectories: dict[str, list[Call]], held_out: dict[str, Any]
) -> dict[str, Any]:
    """The content of ``golden.json``; ``held_out`` is the JSON of the held-out data."""
    carried = {before for before, _ in contract.states}

    def tensors(call: Call) -> dict[str, Any]:
        given = {name: y for name, y in call.inputs.items() if name not in carried}
        return {name: stored(y) for name, y in (given | call.outputs).items()}

    return {
        "format": FORMAT,
        "name": name,
        "tolerance": FLOAT32.model_dump(),
        "trajectories": [
            {
                "name": title,
                "states": {before: stored(calls[0].inputs[before]) for before in sorted(carried)},
                "calls": [tensors(call) for call in calls],
            }
            for title, calls in trajectories.items()
        ],
        "held_out": held_out,
    }


def backend_test_files(exact: Exact) -> dict[str, bytes]:
    """Test data in the layout of ONNX's backend tests: a call from the initial state, the call
    after it with the carried state, and a call of other sizes.

    A model of whole sequences has no state; its first two sets are two sequences.
    """
    pair = exact.pieces(1, [5, 5])
    if exact.contract.states:
        first, second = exact.calls(pair)
    else:
        [first], [second] = (exact.calls([piece]) for piece in pair)
    [other] = exact.calls(exact.pieces(3, [11]))
    files = {}
    for index, call in enumerate((first, second, other)):
        for kind, tensors in (("input", call.inputs), ("output", call.outputs)):
            for place, (name, array) in enumerate(tensors.items()):
                tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
                file = f"onnx/test_data_set_{index}/{kind}_{place}.pb"
                files[file] = tensor.SerializeToString()
    return files
