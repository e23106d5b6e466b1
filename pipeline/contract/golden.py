"""``golden.json``: trajectories (chained calls with their results) and the held-out input."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.config import Name, Record
from pipeline.contract.held_out import Array, HeldOut, check_held_out
from pipeline.contract.law import FLOAT32, Tolerance
from pipeline.contract.manifest import Manifest
from pipeline.contract.tensors import TensorSpec
from pipeline.signature import INPUT, NEXT_STATE, OUTPUT, STATE

Sizes = dict[str, int]


class StoredTensor(Record):
    """A tensor: its shape, and its numbers in row-major order."""

    shape: tuple[Annotated[int, Field(ge=1)], ...]
    data: tuple[int | float, ...]


class StoredCall(Record):
    """One call; a model without a state has no ``next_state``."""

    input: StoredTensor
    output: StoredTensor
    next_state: StoredTensor | None = None


class StoredTrajectory(Record):
    """Chained calls: each starts from the state that the call before it returned."""

    name: str
    state: StoredTensor | None = None
    calls: tuple[StoredCall, ...] = Field(min_length=1)


class Golden(Record):
    """The content of ``golden.json``."""

    format: Literal[1]
    name: Name
    tolerance: Tolerance
    trajectories: tuple[StoredTrajectory, ...] = Field(min_length=1)
    held_out: HeldOut


@dataclass(frozen=True)
class Trajectory:
    """A trajectory as arrays, with the types and shapes of the manifest.

    ``state`` starts the first of ``calls``; each call holds its inputs and outputs by name.
    """

    name: str
    state: NDArray[np.float32] | None
    calls: tuple[dict[str, Array], ...]


def check_golden(golden: Golden, manifest: Manifest) -> None:
    """Raises ValueError for golden data that do not belong to the model of ``manifest``."""
    if golden.name != manifest.name:
        raise ValueError("name is not that of the manifest")
    if not golden.tolerance.within(FLOAT32):
        raise ValueError(f"tolerance allows more than rtol {FLOAT32.rtol}, atol {FLOAT32.atol}")
    check_held_out(manifest.model, golden.held_out)
    for _ in trajectories(golden, manifest):
        pass


def trajectories(golden: Golden, manifest: Manifest) -> Iterator[Trajectory]:
    """The trajectories as arrays; raises ValueError for types or shapes other than the model's."""
    specs = {spec.name: spec for spec in (*manifest.inputs, *manifest.outputs)}
    for stored in golden.trajectories:
        batch: Sizes = {}
        start = _array(stored.state, specs.get(STATE), STATE, batch)
        calls = []
        for call in stored.calls:
            sizes = dict(batch)
            tensors = {
                name: _array(tensor, specs.get(name), name, sizes)
                for name, tensor in (
                    (INPUT, call.input),
                    (OUTPUT, call.output),
                    (NEXT_STATE, call.next_state),
                )
            }
            calls.append({name: array for name, array in tensors.items() if array is not None})
        state = None if start is None else start.astype(np.float32)
        yield Trajectory(stored.name, state, tuple(calls))


def _array(
    stored: StoredTensor | None, spec: TensorSpec | None, name: str, sizes: Sizes
) -> Array | None:
    """A stored tensor as an array of the type and shape of ``spec``; None if both are None.

    ``sizes`` holds the sizes of dynamic axes known so far; new ones are added to it.
    """
    if stored is None or spec is None:
        if stored is not None or spec is not None:
            raise ValueError(f"{name} must be there if the manifest has it, and only then")
        return None
    expected = [
        sizes.setdefault(axis, size) if isinstance(axis, str) else axis
        for axis, size in zip(spec.shape, stored.shape, strict=False)
    ]
    fits = [*stored.shape] == expected and len(stored.shape) == len(spec.shape)
    # Integers of Python do not overflow, as those of numpy would.
    count = 1
    for size in stored.shape:
        count *= size
    if not fits or count != len(stored.data):
        raise ValueError(f"{name} has another shape or size than the manifest says")
    if spec.type == "int64":
        if not all(isinstance(value, int) and abs(value) < 2**63 for value in stored.data):
            raise ValueError(f"{name} holds a number that is no whole number of 64 bits")
        return np.array(stored.data, np.int64).reshape(stored.shape)
    with np.errstate(over="ignore"):
        array = np.array(stored.data, np.float64).astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds a number that float32 cannot")
    return array.reshape(stored.shape)
