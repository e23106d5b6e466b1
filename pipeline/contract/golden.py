"""``golden.json``: trajectories (chained calls with their results) and the held-out data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from pipeline.config import Name, Record
from pipeline.contract.held_out import Text, check_held_out
from pipeline.contract.law import FLOAT32, Tolerance
from pipeline.contract.manifest import Manifest
from pipeline.contract.stored import Sizes, StoredTensor, unstored
from pipeline.contract.tensors import Tensors

StoredTensors = dict[str, StoredTensor]  # by name


class StoredTrajectory(Record):
    """Chained calls: each starts from the states that the call before it returned.

    ``states`` start the first call. A call holds the inputs to give, without the states, and the
    outputs to expect, all by name.
    """

    name: str
    states: StoredTensors
    calls: Annotated[tuple[StoredTensors, ...], Field(min_length=1)]


class Golden(Record):
    """The content of ``golden.json``.

    ``held_out`` has data of those inputs whose samples are held out: a text for code points, or a
    tensor that is cut along its first axis.
    """

    format: Literal[2]
    name: Name
    tolerance: Tolerance
    trajectories: tuple[StoredTrajectory, ...] = Field(min_length=1)
    held_out: dict[str, Text | StoredTensor]


@dataclass(frozen=True)
class Trajectory:
    """A trajectory as arrays, with the types and shapes of the manifest.

    ``states`` start the first of ``calls``; each call holds its inputs and outputs by name.
    """

    name: str
    states: Tensors
    calls: tuple[Tensors, ...]


def check_golden(golden: Golden, manifest: Manifest) -> None:
    """Raises ValueError for golden data that do not belong to the model of ``manifest``."""
    if golden.name != manifest.name:
        raise ValueError("name is not that of the manifest")
    if not golden.tolerance.within(FLOAT32):
        raise ValueError(f"tolerance allows more than rtol {FLOAT32.rtol}, atol {FLOAT32.atol}")
    check_held_out(manifest.inputs, golden.held_out)
    for _ in trajectories(golden, manifest):
        pass


def trajectories(golden: Golden, manifest: Manifest) -> Iterator[Trajectory]:
    """The trajectories as arrays; raises ValueError for types or shapes other than the model's."""
    specs = {spec.name: spec for spec in (*manifest.inputs, *manifest.outputs)}
    carried = {pair.input for pair in manifest.states}

    def arrays(tensors: StoredTensors, names: set[str], sizes: Sizes) -> Tensors:
        if wrong := sorted(tensors.keys() ^ names):
            raise ValueError(f"{wrong[0][:80]} must be there if it is the model's, and only then")
        return {name: unstored(tensors[name], specs[name], sizes) for name in tensors}

    for trajectory in golden.trajectories:
        batch: Sizes = {}
        states = arrays(trajectory.states, carried, batch)
        calls = (arrays(call, specs.keys() - carried, {**batch}) for call in trajectory.calls)
        yield Trajectory(trajectory.name, states, tuple(calls))
