"""Golden trajectories: chained calls with their results, which every client can replay."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx

from pipeline.contract.files import GOLDEN_FILE
from pipeline.contract.law import FLOAT32
from pipeline.contract.manifest import FORMAT
from pipeline.contract.stored import stored
from pipeline.contract.tensors import Contract, Tensors
from pipeline.seal import require_readable
from pipeline.storage import canonical_json
from pipeline.verify import Reference, chained

_READ_BEFORE = 50  # steps that are read to reach a state that was carried


@dataclass(frozen=True)
class Call:
    """One call of a model: its inputs and its outputs by name, in the order of the contract."""

    inputs: Tensors
    outputs: Tensors


def golden_calls(
    reference: Reference, pieces: Sequence[Tensors], states: Tensors | None = None
) -> list[Call]:
    """Chained calls of ``pieces``, from ``states`` or else the initial ones, with their results.

    The results are those of float64, rounded to the types of the contract, so they do not depend
    on the float32 rounding of one machine.
    """
    contract, calls = reference.contract, []
    carried = states if states is not None else reference.initial(reference.batch_of(pieces[0]))
    results = chained(reference.exact, contract, pieces, carried)
    for piece, exact in zip(pieces, results, strict=True):
        given = {**piece, **carried}
        calls.append(Call(_rounded(contract.inputs, given), _rounded(contract.outputs, exact)))
        carried = contract.carried(exact)
    return calls


def _rounded(specs: Sequence[Any], tensors: Tensors) -> Tensors:
    return {spec.name: tensors[spec.name].astype(spec.type) for spec in specs}


def golden_trajectories(reference: Reference) -> dict[str, list[Call]]:
    """The trajectories of ``golden.json``."""
    pieces, calls, contract = reference.pieces, partial(golden_calls, reference), reference.contract
    if contract.states:
        last = calls(pieces(1, [_READ_BEFORE]))[0].outputs
        carried = contract.carried(last)
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
    if reference.strange is not None and contract.time:
        inputs = reference.strange.change(reference.draw(2, 6, 0))
        cuts = [3, 3] if contract.states else [6]
        found["input that training did not know"] = calls(contract.cut(inputs, cuts))
    return found


def golden_json(
    name: str, contract: Contract, trajectories: dict[str, list[Call]], held_out: dict[str, Any]
) -> dict[str, Any]:
    """The content of ``golden.json``; ``held_out`` is the JSON of the held-out data."""
    carried = sorted(before for before, _ in contract.states)

    def tensors(call: Call) -> dict[str, Any]:
        given = {spec.name: call.inputs[spec.name] for spec in contract.data_inputs}
        return {name: stored(y) for name, y in (given | call.outputs).items()}

    return {
        "format": FORMAT,
        "name": name,
        "tolerance": FLOAT32.model_dump(),
        "trajectories": [
            {
                "name": title,
                "states": {name: stored(calls[0].inputs[name]) for name in carried},
                "calls": [tensors(call) for call in calls],
            }
            for title, calls in trajectories.items()
        ],
        "held_out": held_out,
    }


def golden_files(name: str, reference: Reference, held_out: dict[str, Any]) -> dict[str, bytes]:
    """``golden.json`` and the ONNX test data; raises as :func:`require_readable`."""
    trajectories = golden_trajectories(reference)
    content = golden_json(name, reference.contract, trajectories, held_out)
    golden = canonical_json(content, indent=None)
    require_readable(golden, GOLDEN_FILE)
    return {**backend_test_files(reference), GOLDEN_FILE: golden}


def backend_test_files(reference: Reference) -> dict[str, bytes]:
    """Test data in the layout of ONNX's backend tests: a call from the initial state, the call
    after it with the carried state, and a call of other sizes.

    A model of whole sequences has no state; its first two sets are two sequences.
    """
    pair = reference.pieces(1, [5, 5])
    if reference.contract.states:
        first, second = golden_calls(reference, pair)
    else:
        [first], [second] = (golden_calls(reference, [piece]) for piece in pair)
    [other] = golden_calls(reference, reference.pieces(3, [11]))
    files = {}
    for index, call in enumerate((first, second, other)):
        for kind, tensors in (("input", call.inputs), ("output", call.outputs)):
            for place, (name, array) in enumerate(tensors.items()):
                tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
                file = f"onnx/test_data_set_{index}/{kind}_{place}.pb"
                files[file] = tensor.SerializeToString()
    return files
