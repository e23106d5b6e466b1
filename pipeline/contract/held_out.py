"""Held-out data: data of the task that training never saw, kept with a model to test it."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.config import SeriesModel, TextModel
from pipeline.contract.law import Array
from pipeline.contract.records import Number
from pipeline.contract.stored import StoredTensor, unstored
from pipeline.contract.tensors import HeldOutData, TensorSpec

Text = Annotated[str, Field(min_length=1)]
Rows = Annotated[tuple[tuple[Number, ...], ...], Field(min_length=1)]
HeldOut = Text | Rows  # text, or rows of features


def code_points(text: str) -> NDArray[np.int64]:
    """The Unicode code points of a text, int64 ``[time]``."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.int64)


def held_out_input(held_out: HeldOut) -> Array:
    """The held-out data of a checkpoint: int64 ``[time]`` or float32 ``[time, features]``."""
    if isinstance(held_out, str):
        return code_points(held_out)
    return np.asarray(held_out, dtype=np.float32)


def check_task_data(model: SeriesModel | TextModel, held_out: HeldOut) -> None:
    """Raises ValueError for held-out data of a checkpoint that ``model`` cannot read."""
    if isinstance(model, TextModel) != isinstance(held_out, str):
        raise ValueError("held_out is not of the model's task")
    if isinstance(model, SeriesModel) and {len(row) for row in held_out} != {model.features}:
        raise ValueError(f"held_out has rows of other than {model.features} numbers")


def held_out_array(spec: TensorSpec, data: str | StoredTensor) -> Array:
    """The held-out data of one input in a bundle ``[time, …]``, or ``[row, …]``.

    Its axes are those of ``spec`` without the first, of which it is one row.

    Raises:
        ValueError: it does not fit ``spec``.
    """
    if isinstance(data, str):
        if (spec.type, len(spec.shape)) != ("int64", 2):
            raise ValueError(f"held_out of {spec.name[:80]} is text, and the input is not")
        return code_points(data)
    return unstored(data, spec.model_copy(update={"shape": spec.shape[1:]}), {})


def check_held_out(
    inputs: Sequence[TensorSpec], held_out: Mapping[str, str | StoredTensor]
) -> None:
    """Raises ValueError for held-out data of a bundle that do not fit its inputs."""
    needed = {spec.name: spec for spec in inputs if isinstance(spec.sample, HeldOutData)}
    if wrong := sorted(needed.keys() ^ held_out.keys()):
        raise ValueError(f"held_out of {wrong[0][:80]} is missing, or of no input that wants it")
    for name, spec in needed.items():
        held_out_array(spec, held_out[name])
