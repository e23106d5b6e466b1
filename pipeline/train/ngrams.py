"""N-gram models, the baseline of text models."""

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.data import Text
from pipeline.model import CodePointTable
from pipeline.train.ahead import sample

_ORDERS = range(6)
_SMOOTHING = 0.1
_COUNTED = 2**23  # most characters that are counted, at the end of the training part


def ngram_bits(data: Text) -> tuple[float, ...]:
    """Bits per character on the validation part, for n-gram models with 0 to 5 characters of
    context.

    The models are counts of the training part with additive smoothing:
    ``p(c | context) = (n(context, c) + 0.1) / (n(context) + 0.1·V)``, where V includes the unknown
    entry (C. D. Manning and H. Schütze, Foundations of Statistical NLP, 1999, section 6.2). From a
    long text, the last 8,388,608 characters of the training part are counted, and the stretches of
    the validation part are scored that networks are scored on.
    """
    import pandas as pd

    split, points = data.train_length, data.points
    chosen = sample(0, len(points) - split)
    lead = min(max(_ORDERS), split)  # the context of the first character that is scored
    places = chosen.starts[:, None].numpy() + split + np.arange(-lead, chosen.size)
    train = points[max(0, split - _COUNTED) : split]
    indices = _indices(data, np.concatenate([train, points[places].ravel()]))
    scored = np.arange(len(train), len(indices)).reshape(places.shape)[:, lead:].ravel()
    size = len(data.vocabulary) + 1
    bits = []
    context = np.zeros(len(indices), np.int32)  # which one stands before each place, numbered
    for order in _ORDERS:
        gram = pd.factorize(context.astype(np.int64) * size + indices)[0].astype(np.int32)
        known = slice(order, len(train))
        n_context = np.bincount(context[known], minlength=context.max() + 1)[context[scored]]
        n_gram = np.bincount(gram[known], minlength=gram.max() + 1)[gram[scored]]
        p = (n_gram + _SMOOTHING) / (n_context + _SMOOTHING * size)
        bits.append(float(-np.log2(p).mean()))
        context[1:] = gram[:-1]
    return tuple(bits)


def _indices(data: Text, points: NDArray[np.int32]) -> NDArray[np.int32]:
    """The vocabulary indices of the characters with these code points."""
    indices: NDArray[np.int32] = CodePointTable(data.vocabulary)(torch.from_numpy(points)).numpy()
    return indices
