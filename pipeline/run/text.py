"""Text from a prompt, a few characters at a time, so that memory stays flat however long it is."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import MalformedError
from pipeline.run.open import Runnable
from pipeline.signature import (
    LOG_PROB,
    NEXT_STATE,
    PROMPT,
    STATE,
    TEMPERATURE,
    TEXT,
    TOP_K,
    TOP_P,
    UNIFORM,
    Sampling,
)

CHUNK = 16  # characters of one call: few enough to be seen as they come
_READ = 4096  # characters of the prompt of one call


@dataclass
class Written:
    """The text of one stream so far, and the sum of the log-probabilities of its characters."""

    parts: list[str] = field(default_factory=list)
    characters: int = 0
    total: float = 0.0

    def add(self, text: str, log_prob: float) -> None:
        """Take in what came next."""
        self.parts.append(text)
        self.characters += len(text)
        self.total += log_prob

    @property
    def mean(self) -> float | None:
        """Mean log-probability in nats, each of where it was drawn from; None without text."""
        return self.total / self.characters if self.characters else None

    @property
    def perplexity(self) -> float | None:
        """Of how many equally likely characters each was chosen, on average."""
        return None if self.mean is None else math.exp(-self.mean)


def unknown_characters(prompt: str, vocabulary: str) -> list[str]:
    """Every character of ``prompt`` that the model has no entry for, in order."""
    known = set(vocabulary)
    return [character for character in prompt if character not in known]


def generate(
    model: Runnable,
    prompt: str,
    length: int,
    streams: int,
    sampling: Sampling,
    rng: np.random.Generator,
    chunk: int = CHUNK,
) -> Iterator[list[tuple[str, float]]]:
    """Yield what all ``streams`` write next, and the sum of its log-probabilities, to ``length``.

    Character t of stream i is drawn by ``rng.random((length, streams), float32)[t, i]``, whatever
    the size of a ``chunk``.

    Raises:
        MalformedError: the model gives NaN, or characters that are not of its vocabulary.
    """
    assert model.manifest.vocabulary is not None
    top_k = min(sampling.top_k, len(model.manifest.vocabulary))  # more means the same
    settings: dict[str, NDArray[Any]] = {
        TEMPERATURE: np.array(sampling.temperature, np.float32),
        TOP_K: np.array(top_k),
        TOP_P: np.array(sampling.top_p, np.float32),
    }
    known = [ord(character) for character in model.manifest.vocabulary]
    state = model.zero_state()
    points = np.array([[ord(character) for character in prompt]], np.int64)
    nothing = np.zeros((1, 0), np.float32)
    for start in range(0, len(prompt), _READ):
        part = points[:, start : start + _READ]
        [state] = model.call(settings | {PROMPT: part, UNIFORM: nothing, STATE: state}, NEXT_STATE)
    state = np.repeat(state, streams, axis=0)
    no_prompt = np.zeros((streams, 0), np.int64)
    for start in range(0, length, chunk):
        numbers: NDArray[np.float32] = rng.random((min(chunk, length - start), streams), np.float32)
        feeds = settings | {PROMPT: no_prompt, UNIFORM: numbers.T, STATE: state}
        text, log_prob, state = model.call(feeds, TEXT, LOG_PROB, NEXT_STATE)
        if np.isnan(log_prob).any():
            raise MalformedError(f"{model.manifest.name} gives NaN; train it anew")
        if not np.isin(text, known).all():
            raise MalformedError(
                f"{model.manifest.name} writes characters that it does not know; export it anew"
            )
        totals = log_prob.sum(axis=1, dtype=np.float64)
        yield [
            ("".join(map(chr, row)), total)
            for row, total in zip(text.tolist(), totals.tolist(), strict=True)
        ]
