"""The sampler of generated text in NumPy, written for itself, and how narrow its choices were."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.signature import Sampling

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Draw:
    """One entry drawn from ``logits`` ``[size]`` by ``number``, and what it was drawn from.

    ``reached`` is the cumulative probability of the entries that were ``allowed``, in their order.
    """

    logits: Floats
    number: float
    settings: Sampling
    allowed: NDArray[np.bool_]
    reached: Floats
    index: int
    log_prob: float

    def margin(self, other: int) -> float:
        """How far ``other`` was from being drawn, in logits.

        A number that lies δ beside the share of an entry would have drawn it, had the logits been
        off by about δ / 2 · temperature; an entry that was not allowed, by its distance from those
        that were.
        """
        if not self.allowed[other]:
            return float(np.abs(self.logits[other] - self.logits[self.allowed].min()))
        if self.settings.temperature <= 0:
            return float(self.logits[self.index] - self.logits[other])
        end = self.reached[other]
        begin = self.reached[other - 1] if other else 0.0
        beside = max(begin - self.number, self.number - end, 0.0)
        return float(beside / 2 * self.settings.temperature)


def draw(logits: Floats, number: float, settings: Sampling) -> Draw:
    """Draw from ``logits`` ``[size]``: top-k, temperature, top-p, inverse cumulative distribution.

    All in float32, as ``exported/README.md`` says it.
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
        return Draw(logits, 0.0, settings, allowed, reached, int(logits.argmax()), 0.0)
    number = min(max(float(number), 0.0), 1 - 2.0**-23) * float(reached[-1])
    index = min(int((reached <= number).sum()), int(np.flatnonzero(allowed)[-1]))
    log_prob = float(scaled[index] - np.log(weights.sum(dtype=np.float32)))
    return Draw(logits, number, settings, allowed, reached, index, log_prob)
