"""Text from a prompt, generated in chunks of a few characters, so that memory stays constant."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.contract.held_out import code_points
from pipeline.errors import MalformedError
from pipeline.network_tensors import (
    LOG_PROB,
    PROMPT,
    TEMPERATURE,
    TEXT,
    TOP_K,
    TOP_P,
    UNIFORM,
    Sampling,
)
from pipeline.run.graph import Graph

CHUNK = 16  # characters that one call writes; few, so that text appears steadily
_READ = 4096  # characters of the prompt that one call reads


@dataclass
class Written:
    """The text of one stream so far, and the sum of the log-probabilities of its characters."""

    parts: list[str] = field(default_factory=list)
    characters: int = 0
    total: float = 0.0

    def add(self, text: str, log_prob: float) -> None:
        """Append the next characters and their log-probability."""
        self.parts.append(text)
        self.characters += len(text)
        self.total += log_prob

    @property
    def mean(self) -> float | None:
        """The mean log-probability of a character in nats, in the distribution it was drawn from;
        None without text."""
        return self.total / self.characters if self.characters else None

    @property
    def perplexity(self) -> float | None:
        """The perplexity, exp of minus the mean log-probability; None without text."""
        return None if self.mean is None else math.exp(-self.mean)


def unknown_characters(prompt: str, vocabulary: str) -> list[str]:
    """All characters of ``prompt`` that are not in ``vocabulary``, in order."""
    known = set(vocabulary)
    return [character for character in prompt if character not in known]


def generate(
    graph: Graph,
    vocabulary: str,
    prompt: str,
    length: int,
    streams: int,
    sampling: Sampling,
    rng: np.random.Generator,
    chunk: int = CHUNK,
) -> Iterator[list[tuple[str, float]]]:
    """Yield text chunk by chunk, up to ``length`` characters: for each of ``streams`` the next
    characters and the sum of their log-probabilities.

    ``graph`` is the graph with the loop inside, of a model with this ``vocabulary``. Character t of
    stream i is drawn by ``rng.random((length, streams), float32)[t, i]``, for any ``chunk``.

    Raises:
        MalformedError: the model gives NaN, or characters that are not of its vocabulary.
    """
    carried, carries_on = graph.packed_state
    settings: dict[str, NDArray[Any]] = {
        TEMPERATURE: np.array(sampling.temperature, np.float32),
        TOP_K: np.array(min(sampling.top_k, len(vocabulary))),  # more means the same
        TOP_P: np.array(sampling.top_p, np.float32),
    }
    known = code_points(vocabulary)
    state = graph.initial(1)[carried]
    points = code_points(prompt)[None]
    nothing = np.zeros((1, 0), np.float32)
    for start in range(0, len(prompt), _READ):
        part = points[:, start : start + _READ]
        feeds = settings | {PROMPT: part, UNIFORM: nothing, carried: state}
        [state] = graph.call(feeds, [carries_on])
    state = np.repeat(state, streams, axis=0)
    no_prompt = np.zeros((streams, 0), np.int64)
    for start in range(0, length, chunk):
        numbers: NDArray[np.float32] = rng.random((min(chunk, length - start), streams), np.float32)
        feeds = settings | {PROMPT: no_prompt, UNIFORM: numbers.T, carried: state}
        text, log_prob, state = graph.call(feeds, [TEXT, LOG_PROB, carries_on])
        if np.isnan(log_prob).any():
            raise MalformedError(f"{graph.name} gives NaN; train it anew")
        if not np.isin(text, known).all():
            raise MalformedError(
                f"{graph.name} writes characters that it does not know; export it anew"
            )
        totals = log_prob.sum(axis=1, dtype=np.float64)
        yield [
            ("".join(map(chr, row)), total)
            for row, total in zip(text.tolist(), totals.tolist(), strict=True)
        ]
