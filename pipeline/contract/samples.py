"""Samples of a model's inputs, drawn as their contract says."""

from collections.abc import Iterable, Mapping

import numpy as np

from pipeline.contract.law import Array
from pipeline.contract.stored import Sizes
from pipeline.contract.tensors import HeldOutData, Integers, Normal, Tensors, TensorSpec


def cut_sequences(source: Array, batch: int, time: int, start: int = 0) -> Array:
    """``batch`` sequences cut from ``source``, spread over it from ``start``, ``[batch, time, …]``.

    A sequence that reaches the end of ``source`` continues at its beginning.
    """
    offsets = start + np.arange(batch) * max(1, len(source) // batch)
    windows: Array = source[(offsets[:, None] + np.arange(time)) % len(source)]
    return windows


def draw(
    inputs: Iterable[TensorSpec],
    sizes: Sizes,
    rng: np.random.Generator,
    held_out: Mapping[str, Array],
    start: int = 0,
) -> Tensors:
    """A sample of each of ``inputs``, whose dynamic axes have the sizes ``sizes``.

    ``held_out`` has the data of those inputs whose samples are cut from them, from ``start`` on.

    Raises:
        KeyError: a size or the data of an input is missing.
    """
    return {
        spec.name: _cut(spec, sizes, held_out[spec.name], start)
        if isinstance(spec.sample, HeldOutData)
        else _drawn(spec, sizes, rng)
        for spec in inputs
    }


def _cut(spec: TensorSpec, sizes: Sizes, data: Array, start: int) -> Array:
    batch, time, *_ = _shape(spec, sizes)
    return cut_sequences(data, batch, time, start)


def _drawn(spec: TensorSpec, sizes: Sizes, rng: np.random.Generator) -> Array:
    sample, shape = spec.sample or Normal(mean=0, deviation=1), _shape(spec, sizes)
    if isinstance(sample, Normal):
        return rng.normal(sample.mean, sample.deviation, shape).astype(spec.type)
    assert isinstance(sample, Integers)
    most = sizes[sample.most] if isinstance(sample.most, str) else sample.most
    numbers = rng.integers(sample.least, most, shape, endpoint=True)
    if isinstance(sample.most, str) and numbers.size:
        numbers.flat[0] = most  # a batch of lengths has one that fills it
    if sample.descending:
        numbers = -np.sort(-numbers)
    return numbers.astype(spec.type)


def _shape(spec: TensorSpec, sizes: Sizes) -> list[int]:
    return [sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape]


def outside(source: Array, vocabulary: str | None) -> Array:
    """``source`` with some unknown characters, or some values far outside the training range."""
    changed = source.copy()
    if vocabulary is not None:
        known = {ord(character) for character in vocabulary}
        strange = [0x10FFFF, 0x1F600, 0x0627, 0x05D0, 0, -1, max(known) + 1, 2**40]
        unseen = [point for point in strange if point not in known]
        places = changed.reshape(-1)[1::3]  # a view: every third element
        places[:] = np.resize(unseen, len(places))
        return changed
    changed[:, 1::3] *= 100
    changed[:, 2::3] -= 1000
    return changed
