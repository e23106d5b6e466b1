"""Inputs of the task that training never saw: kept beside a model, to try it on."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.config import SeriesModel, TextModel
from pipeline.contract.records import Number

Array = NDArray[np.float32] | NDArray[np.int64]

Text = Annotated[str, Field(min_length=1)]
Rows = Annotated[tuple[tuple[Number, ...], ...], Field(min_length=1)]
HeldOut = Text | Rows  # text, or rows of features


def code_points(text: str) -> NDArray[np.int64]:
    """A text as the input of a model, int64 ``[time]``."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.int64)


def held_out_input(held_out: HeldOut) -> Array:
    """The part of the data that training never saw, as one input ``[time, …]``."""
    if isinstance(held_out, str):
        return code_points(held_out)
    return np.asarray(held_out, dtype=np.float32)


def check_held_out(model: SeriesModel | TextModel, held_out: HeldOut) -> None:
    """Raises ValueError for inputs that are not of ``model``."""
    if isinstance(model, TextModel) != isinstance(held_out, str):
        raise ValueError("held_out is not of the model's task")
    if isinstance(model, SeriesModel) and {len(row) for row in held_out} != {model.features}:
        raise ValueError(f"held_out has rows of other than {model.features} numbers")
