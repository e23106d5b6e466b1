"""A variant: a bundle whose weights are stored small, made of one that has them in float32."""

from typing import Literal

from pydantic import Field, model_validator

from pipeline.config import Digest, Line, Name, Record
from pipeline.contract.small_weights import LARGEST, SmallType, StoredWeight

Rounding = Literal["nearest", "compensated"]


class VariantScore(Record):
    """One score of a variant beside that of the float model; the less, the better.

    ``nearest`` and ``compensated`` are those of the two roundings, null where nobody tried it.
    """

    name: Line
    float32: float = Field(ge=0)
    nearest: float | None = Field(None, ge=0)
    compensated: float | None = Field(None, ge=0)


class Variant(Record):
    """What a variant is: the bundle that it was made of, and how its weights are stored.

    ``of`` is the name of the bundle with float32 weights, and ``of_sha256`` the digest of its
    manifest. ``weights`` is the type that was asked for, and ``stored`` has every weight by name
    with the type that it has. ``rounding`` says how whole numbers were chosen: ``nearest`` to the
    weight, or ``compensated``, with errors of one column made up for by those that follow it.
    """

    of: Name
    of_sha256: Digest
    weights: SmallType
    rounding: Rounding
    stored: dict[Line, StoredWeight]
    scores: tuple[VariantScore, ...]

    @model_validator(mode="after")
    def _has_rows(self) -> "Variant":
        for name, weight in self.stored.items():
            if weight.type in LARGEST and len(weight.shape) < 2:
                raise ValueError(f"variant.stored: {name[:80]} has no rows")
        return self
