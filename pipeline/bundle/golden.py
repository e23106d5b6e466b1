"""Golden trajectories: chained calls with their results, which every client can replay."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from pipeline.checkpoint import Checkpoint
from pipeline.contract.held_out import Array
from pipeline.contract.law import FLOAT32
from pipeline.model import Network
from pipeline.signature import INPUT, NEXT_STATE, OUTPUT, STATE
from pipeline.threads import torch_threads, weights_of

FORMAT = 1


@dataclass(frozen=True)
class Call:
    """One call of a model; shapes as in the signature."""

    input: Array
    state: NDArray[np.float32]
    output: NDArray[np.float32]
    next_state: NDArray[np.float32]

    @property
    def inputs(self) -> dict[str, Array]:
        """The inputs by name; a state without rows is left out."""
        return _in_files({INPUT: self.input, STATE: self.state})

    @property
    def outputs(self) -> dict[str, Array]:
        """The outputs by name; a state without rows is left out."""
        return _in_files({OUTPUT: self.output, NEXT_STATE: self.next_state})


def _in_files(tensors: dict[str, Array]) -> dict[str, Array]:
    return {name: array for name, array in tensors.items() if array.shape[1]}


def cut_sequences(source: Array, batch: int, time: int, start: int = 0) -> Array:
    """``batch`` sequences cut from ``source``, spread over it from ``start``, ``[batch, time, …]``.

    A sequence that reaches the end of ``source`` continues at its beginning.
    """
    offsets = start + np.arange(batch) * max(1, len(source) // batch)
    windows: Array = source[(offsets[:, None] + np.arange(time)) % len(source)]
    return windows


def outside(source: Array, vocabulary: str | None) -> Array:
    """``source`` with some unknown characters, or some values far outside the training range."""
    changed = source.copy()
    if vocabulary is not None:
        known = {ord(character) for character in vocabulary}
        strange = [0x10FFFF, 0x1F600, 0x0627, 0x05D0, 0, -1, max(known) + 1, 2**40]
        unseen = [point for point in strange if point not in known]
        places = changed.reshape(-1)[1::3]  # a view: every third element
        places[:] = np.resize(unseen, len(places))
        return changed
    changed[:, 1::3] *= 100
    changed[:, 2::3] -= 1000
    return changed


def trajectory(
    network: Network, source: Array, cuts: Sequence[int], state: NDArray[np.float32] | None = None
) -> list[Call]:
    """Chained calls over ``source`` ``[batch, time, …]``, cut into pieces of ``cuts`` steps.

    The results are those of the float64 twin, rounded to float32, so they do not depend on the
    float32 rounding of one machine.
    """
    twin = network.twin(torch.float64)
    first = twin.zero_state(len(source)) if state is None else torch.from_numpy(state).double()
    calls, carried, start = [], first, 0
    for length in cuts:
        piece = source[:, start : start + length]
        start += length
        tensor = torch.from_numpy(piece)
        with torch.inference_mode(), torch_threads(weights_of(network)):
            exact = tensor.double() if tensor.is_floating_point() else tensor
            output, following = twin(exact, carried)
        calls.append(Call(piece, *(part.float().numpy() for part in (carried, output, following))))
        carried = following
    return calls


def golden_trajectories(network: Network, source: Array) -> dict[str, list[Call]]:
    """The trajectories of ``golden.json``; ``source`` is the held-out input."""
    strange = outside(cut_sequences(source, 2, 6), network.vocabulary)
    if not network.signature.has_state:
        return {
            "one sequence": trajectory(network, cut_sequences(source, 1, 10), [10]),
            "one step": trajectory(network, cut_sequences(source, 1, 1), [1]),
            "three sequences at once": trajectory(network, cut_sequences(source, 3, 5), [5]),
            "input that training did not know": trajectory(network, strange, [6]),
        }
    warmed_up = trajectory(network, cut_sequences(source, 1, 50), [50])[0].next_state
    return {
        "one stream from zeros": trajectory(network, cut_sequences(source, 1, 10), [1, 2, 7]),
        "three streams at once": trajectory(network, cut_sequences(source, 3, 5), [4, 1]),
        "from a state that is not zero": trajectory(
            network, cut_sequences(source, 1, 4, start=50), [1, 3], warmed_up
        ),
        "input that training did not know": trajectory(network, strange, [3, 3]),
    }


def _tensor(array: Array) -> dict[str, Any]:
    """Shape and flat values; float32 has the fewest digits that give the same float32 again."""
    flat = array.ravel()
    is_float = flat.dtype == np.float32
    return {
        "shape": list(array.shape),
        "data": [float(str(value)) for value in flat] if is_float else flat.tolist(),
    }


def golden_json(checkpoint: Checkpoint, trajectories: dict[str, list[Call]]) -> dict[str, Any]:
    """The content of ``golden.json``."""
    return {
        "format": FORMAT,
        "name": checkpoint.config.name,
        "tolerance": FLOAT32.model_dump(),
        "trajectories": [
            {
                "name": name,
                **{key: _tensor(array) for key, array in calls[0].inputs.items() if key == STATE},
                "calls": [
                    {
                        INPUT: _tensor(call.input),
                        **{key: _tensor(array) for key, array in call.outputs.items()},
                    }
                    for call in calls
                ],
            }
            for name, calls in trajectories.items()
        ],
        "held_out": checkpoint.held_out,
    }


def backend_test_files(network: Network, source: Array) -> dict[str, bytes]:
    """Test data in the layout of ONNX's backend tests: a call from the initial state, the call
    after it with the carried state, and a call of other sizes.

    A network of whole sequences has no state; its first two sets are two sequences.
    """
    fresh, carried = trajectory(network, cut_sequences(source, 1, 10), [5, 5])
    other = trajectory(network, cut_sequences(source, 3, 11), [11])[0]
    files = {}
    for index, call in enumerate((fresh, carried, other)):
        for kind, tensors in (("input", call.inputs), ("output", call.outputs)):
            for place, (name, array) in enumerate(tensors.items()):
                tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
                file = f"onnx/test_data_set_{index}/{kind}_{place}.pb"
                files[file] = tensor.SerializeToString()
    return files
