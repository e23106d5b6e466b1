"""Scores of texts are those of plain counting and of one pass over the text."""

import math
import random
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import text_config, trained
from torch.nn import functional

from pipeline.contract.records import TextScores
from pipeline.data import Text
from pipeline.model import CodePointTable
from pipeline.train.ngrams import ngram_bits
from pipeline.train.scores import score


def slow_ngram_bits(text: Text, order: int) -> float:
    """Bits per character with ``order`` characters of context, from counts in dictionaries."""
    known = set(text.train)
    symbols = [character if character in known else None for character in text.content]
    grams: Counter[tuple[str | None, ...]] = Counter()
    contexts: Counter[tuple[str | None, ...]] = Counter()
    for i in range(order, len(text.train)):
        grams[tuple(symbols[i - order : i + 1])] += 1
        contexts[tuple(symbols[i - order : i])] += 1
    bits = []
    for i in range(len(text.train), len(symbols)):
        n_gram = grams[tuple(symbols[i - order : i + 1])]
        n_context = contexts[tuple(symbols[i - order : i])]
        bits.append(-math.log2((n_gram + 0.1) / (n_context + 0.1 * (len(known) + 1))))
    return sum(bits) / len(bits)


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.sampled_from("abc"), min_size=20, max_size=200)
    | st.text(st.characters(codec="utf-8"), min_size=20, max_size=100)
)
def test_ngram_bits_are_those_of_plain_counting(content: str) -> None:
    text = Text(content)
    expected = [slow_ngram_bits(text, order) for order in range(6)]
    assert ngram_bits(text) == pytest.approx(expected)


def test_ngram_bits_of_the_reference_in_python_are_those_of_plain_counting() -> None:
    from pydoc_data.topics import topics

    text = Text("\n".join(topics.values())[:20_000])
    expected = [slow_ngram_bits(text, order) for order in range(6)]
    assert ngram_bits(text) == pytest.approx(expected)
    assert min(expected) < expected[0] - 1


def text_scores(text: Text) -> tuple[TextScores, torch.Tensor, torch.Tensor]:
    """Scores of a small network, its logits over the validation part, and the targets."""
    config = text_config("lstm", epochs=1)
    network = trained(config, text).best_network()
    points = torch.tensor([ord(character) for character in text.validation])[None]
    with torch.no_grad():
        logits, _ = network(points[:, :-1], network.zero_state(1))
        targets = CodePointTable(text.vocabulary)(points[0, None, 1:]).long()[0]
    scores = score(network, text)
    assert isinstance(scores, TextScores)
    return scores, logits[0], targets


@pytest.mark.parametrize("length", [100, 50_000], ids=["one chunk", "two chunks"])
def test_scores_of_a_text_are_those_of_one_pass_over_its_validation_part(length: int) -> None:
    letters = random.Random(0).choices("aabcd ", k=length)
    scores, logits, targets = text_scores(Text("".join(letters)))
    loss = float(functional.cross_entropy(logits.double(), targets))
    assert scores.loss == pytest.approx(loss, rel=1e-5)
    assert scores.bits_per_character == pytest.approx(loss / math.log(2), rel=1e-5)
    hits = (logits.argmax(dim=1) == targets).double().mean()
    assert scores.accuracy == pytest.approx(float(hits), abs=1e-3)
    assert len(scores.ngram_bits) == 6


def test_characters_that_training_never_saw_count_as_the_unknown_entry() -> None:
    scores, logits, targets = text_scores(Text("ab" * 90 + "xyz " * 5))
    assert not targets.any()
    assert scores.loss == pytest.approx(-float(logits.log_softmax(dim=1)[:, 0].mean()), rel=1e-5)
