"""The choice of what a variant holds: how its weights are rounded, and which stay float32."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.contract.law import Array
from pipeline.contract.small_weights import LARGEST, SmallType, SmallWeight, StoredWeight
from pipeline.contract.variant import Rounding, VariantScore
from pipeline.variants.calibration import Samples
from pipeline.variants.compensation import DAMPINGS, compensated, fitted
from pipeline.variants.rounding import rounded_to_nearest
from pipeline.variants.scores import Scores, distance, loss
from pipeline.variants.subject import Subject

Weights = Mapping[str, SmallWeight]


@dataclass(frozen=True)
class Choice:
    """The weights of a variant as they are stored, how they were rounded, and their scores.

    ``kept`` are those that stay in float32 since the loss would be too large.
    """

    weights: Weights
    rounding: Rounding
    scores: tuple[VariantScore, ...]
    kept: tuple[str, ...] = ()


def choose(subject: Subject, kind: SmallType, most: float | None = None) -> Choice:
    """The weights of ``subject`` in ``kind``, with the rounding that costs least.

    With ``most``, the largest loss that is allowed, those weights stay in float32 whose rounding
    costs most, one after another, until the loss is within it. It is 0 where all do.
    """
    scored = subject.scored
    float32 = scored.of(scored.reference.model)
    rounder = _Rounder(subject, kind)
    kept: frozenset[str] = frozenset()
    while True:
        tried = {
            rounding: scored.of(subject.model(_values(weights)))
            for rounding, weights in rounder.roundings(kept).items()
        }
        best = min(tried, key=lambda one: loss(tried[one], float32))
        if most is None or loss(tried[best], float32) <= most:
            weights = rounder.roundings(kept)[best]
            return Choice(weights, best, _table(float32, tried), tuple(sorted(kept)))
        kept |= {rounder.costliest(kept)}


class _Rounder:
    """The roundings of a model's weights, each made once."""

    def __init__(self, subject: Subject, kind: SmallType) -> None:
        self.subject, self.kind = subject, kind
        self.scored = subject.scored.for_calibration
        self.float32 = self.scored.of(self.scored.reference.model)
        self.calls = subject.scored.calls()
        self.samples = subject.inputs(self.calls)
        self._made: dict[frozenset[str], dict[Rounding, Weights]] = {}

    def roundings(self, kept: frozenset[str]) -> dict[Rounding, Weights]:
        """The weights rounded to the nearest, and those that score best with compensation."""
        if kept not in self._made:
            nearest = rounded_to_nearest(self.subject.weights, self.kind, kept)
            found: dict[Rounding, Weights] = {"nearest": nearest}
            if any(
                one.kind.type != "float32" and name in self.samples for name, one in nearest.items()
            ):
                tried = [self._compensated(nearest, damping) for damping in DAMPINGS]
                found["compensated"] = min(tried, key=self._distance)
            self._made[kept] = found
        return self._made[kept]

    def costliest(self, kept: frozenset[str]) -> str:
        """The weight without whose rounding the model comes nearest to the float32 one."""
        rounded = rounded_to_nearest(self.subject.weights, self.kind, kept)
        left = [name for name, one in rounded.items() if one.kind.type != "float32"]
        return min(left, key=lambda name: self._distance(self._cheaply(kept | {name})))

    def _cheaply(self, kept: frozenset[str]) -> Weights:
        """The weights with one damping, to see which of them cost most."""
        nearest = rounded_to_nearest(self.subject.weights, self.kind, kept)
        return self._compensated(nearest, DAMPINGS[2])

    def _distance(self, weights: Weights) -> float:
        return distance(self.scored.of(self.subject.model(_values(weights))), self.float32)

    def _compensated(self, nearest: Weights, damping: float) -> Weights:
        """The weights with errors compensated, the last layer after all others."""
        subject, found = self.subject, dict(nearest)
        for name, samples in self.samples.items():
            if name != subject.last and name in found and found[name].kind.type != "float32":
                self._round(found, name, subject.weights[name], samples, damping)
        if subject.last is not None and subject.last in self.samples:
            self._fit_last(found, subject.last, damping)
        return found

    def _fit_last(self, found: dict[str, SmallWeight], name: str, damping: float) -> None:
        """Fit the last layer to what it gives in float32, for what the layers before make now."""
        subject = self.subject
        matrix, bias_name = subject.weights[name], subject.biases[name]
        bias, samples = subject.weights[bias_name], self.samples[name]
        wanted = samples @ matrix.astype(np.float64).T + bias
        now = subject.before_last(_values(found), self.calls)
        matrix, bias = fitted(matrix, bias, now, wanted)
        found[bias_name] = _float32(bias)
        if found[name].kind.type == "float32":
            found[name] = _float32(matrix)
        else:
            self._round(found, name, matrix, now, damping)

    def _round(
        self,
        found: dict[str, SmallWeight],
        name: str,
        weight: Array,
        samples: Samples,
        damping: float,
    ) -> None:
        kind = found[name].kind
        bias_name = self.subject.biases.get(name)
        bias = found[bias_name].values if bias_name else None
        matrix = weight.reshape(kind.rows, kind.columns)
        made = compensated(matrix, bias, samples, LARGEST.get(kind.type), damping)
        numbers = made.numbers if made.scale is not None else made.numbers.reshape(kind.shape)
        found[name] = SmallWeight(kind, numbers, made.scale)
        if bias_name and made.bias is not None:
            found[bias_name] = _float32(made.bias)


def _float32(array: Array) -> SmallWeight:
    values = array.astype(np.float32)
    return SmallWeight(StoredWeight(type="float32", shape=values.shape), values)


def _values(weights: Weights) -> dict[str, Array]:
    return {name: weight.values for name, weight in weights.items()}


def _table(float32: Scores, tried: Mapping[Rounding, Scores]) -> tuple[VariantScore, ...]:
    return tuple(
        VariantScore(
            name=name, float32=value, **{rounding: tried[rounding][name] for rounding in tried}
        )
        for name, value in float32.items()
    )
