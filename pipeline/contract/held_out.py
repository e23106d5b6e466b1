"""The held-out input: data of the task that training never saw, kept with a model to test it."""

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
    """The Unicode code points of a text, int64 ``[time]``."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.int64)


def held_out_input(held_out: HeldOut) -> Array:
    """The held-out data as one input: int64 ``[time]`` or float32 ``[time, features]``."""
    if isinstance(held_out, str):
        return code_points(held_out)
    return np.asarray(held_out, dtype=np.float32)


def check_held_out(model: SeriesModel | TextModel, held_out: HeldOut) -> None:
    """Raises ValueError for held-out data that ``model`` cannot read."""
    if isinstance(model, TextModel) != isinstance(held_out, str):
        raise ValueError("held_out is not of the model's task")
    if isinstance(model, SeriesModel) and {len(row) for row in held_out} != {model.features}:
        raise ValueError(f"held_out has rows of other than {model.features} numbers")
