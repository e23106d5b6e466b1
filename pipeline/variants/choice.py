"""The choice of what a variant holds: how its weights are rounded, and which stay float32."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.contract.small_weights import SmallType, SmallWeight
from pipeline.contract.variant import Rounding, VariantScore
from pipeline.variants.rounding import rounded_to_nearest
from pipeline.variants.scores import Scores
from pipeline.variants.subject import Subject


@dataclass(frozen=True)
class Choice:
    """The weights of a variant as they are stored, how they were rounded, and their scores."""

    weights: Mapping[str, SmallWeight]
    rounding: Rounding
    scores: tuple[VariantScore, ...]


def choose(subject: Subject, kind: SmallType) -> Choice:
    """The weights of ``subject`` in ``kind``, with the rounding that scores best."""
    scored = subject.scored
    float32 = scored.of(scored.reference.model)
    weights = rounded_to_nearest(subject.weights, kind)
    nearest = scored.of(subject.model({name: one.values for name, one in weights.items()}))
    return Choice(weights, "nearest", _table(float32, {"nearest": nearest}))


def _table(float32: Scores, tried: Mapping[Rounding, Scores]) -> tuple[VariantScore, ...]:
    return tuple(
        VariantScore(
            name=name, float32=value, **{rounding: tried[rounding][name] for rounding in tried}
        )
        for name, value in float32.items()
    )
