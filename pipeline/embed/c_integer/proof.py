"""The proof that the C gives the integers of the oracle: one number that says all of a long run.

The C runs the same steps from the same inputs, of every size that there is, and has to come to the
same number.
"""

from collections.abc import Iterator

import numpy as np

from pipeline.embed.c_integer.network import IntegerNetwork

STEPS = 10_000
_START, _PRIME, _WORD = 0xCBF29CE484222325, 0x100000001B3, 2**64 - 1


def proof(network: IntegerNetwork) -> int:
    """FNV-1a of the outputs of 10,000 steps from a state of zeros, and of the state behind them.

    It takes in 32 bits at a time. The inputs are the upper 16 bits of xorshift32, or what they
    leave when they are divided by the size of the vocabulary: the place of a character, and 0 for
    one that the vocabulary does not have. G. Fowler, L. C. Noll and K.-P. Vo, The FNV
    non-cryptographic hash algorithm, draft-eastlake-fnv; G. Marsaglia, Xorshift RNGs, Journal of
    Statistical Software 8 (2003).
    """
    numbers = _random()
    if network.vocabulary is None:
        features = len(network.scaler.input_mean) if network.scaler else 1
        drawn = [next(numbers) - 2**15 for _ in range(STEPS * features)]
        x = np.array(drawn).reshape(1, STEPS, features)
    else:
        points = [-1, *map(ord, network.vocabulary)]
        x = np.array([[points[next(numbers) % len(points)] for _ in range(STEPS)]])
    outputs, state = network.run(x, network.zero_state(1))
    digest = _START
    for word in np.concatenate([outputs.ravel(), state.ravel()]).tolist():
        digest = (digest ^ (word & 0xFFFFFFFF)) * _PRIME & _WORD
    return digest


def _random() -> Iterator[int]:
    """16 bits at a time."""
    state = 1
    while True:
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        yield state >> 16
