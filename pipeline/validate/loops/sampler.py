"""A sampler in NumPy, independent of the one in the graph, that records how close each draw was."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.network_tensors import Sampling

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class DrawnCharacter:
    """The ``index`` of the entry that ``number`` drew from ``logits`` ``[size]``.

    ``allowed`` says which entries top-k and top-p left, and ``reached`` is the cumulative
    probability over them, both ``[size]``.
    """

    logits: Floats
    number: float
    settings: Sampling
    allowed: NDArray[np.bool_]
    reached: Floats
    index: int
    log_prob: float

    def margin(self, other: int) -> float:
        """The distance of the entry ``other`` from being drawn, in logits.

        If the number lies δ outside the interval of an allowed entry, an error of about
        δ / 2 · temperature in the logits would have drawn that entry. For an entry that was not
        allowed, it is the distance of its logit from the smallest allowed one.
        """
        if not self.allowed[other]:
            return float(np.abs(self.logits[other] - self.logits[self.allowed].min()))
        if self.settings.temperature <= 0:
            return float(self.logits[self.index] - self.logits[other])
        end = self.reached[other]
        begin = self.reached[other - 1] if other else 0.0
        beside = max(begin - self.number, self.number - end, 0.0)
        return float(beside / 2 * self.settings.temperature)


def draw(logits: Floats, number: float, settings: Sampling) -> DrawnCharacter:
    """Draw from ``logits`` ``[size]``: apply top-k, temperature and top-p, then invert the
    cumulative distribution at ``number``.

    All steps are in float32, as ``exported/README.md`` specifies them.
    """
    size = len(logits)
    temperature = np.float32(settings.temperature if settings.temperature > 0 else 1.0)
    with np.errstate(over="ignore"):  # no temperature is too small to divide by
        scaled = (logits - logits.max()) / temperature
    allowed = np.ones(size, bool)
    order = np.argsort(-logits, kind="stable")
    if settings.top_k > 0:
        allowed &= logits >= logits[order[min(settings.top_k, size) - 1]]
    if settings.top_p < 1:
        ranked = order[: settings.top_k] if settings.top_k > 0 else order
        chances = np.exp(scaled[ranked])
        chances /= chances.sum()
        before = np.cumsum(chances) - chances
        kept = max(1, int((before < np.float32(settings.top_p)).sum()))
        allowed &= logits >= logits[ranked[kept - 1]]
    weights = np.where(allowed, np.exp(scaled), np.float32(0))
    reached = np.cumsum(weights / weights.sum(dtype=np.float32), dtype=np.float32)
    if settings.temperature <= 0:
        return DrawnCharacter(logits, 0.0, settings, allowed, reached, int(logits.argmax()), 0.0)
    number = min(max(float(number), 0.0), 1 - 2.0**-23) * float(reached[-1])
    index = min(int((reached <= number).sum()), int(np.flatnonzero(allowed)[-1]))
    log_prob = float(scaled[index] - np.log(weights.sum(dtype=np.float32)))
    return DrawnCharacter(logits, number, settings, allowed, reached, index, log_prob)
