"""The rules by which a module's inputs are drawn: told by the user, or taken from an example."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from pipeline.contract.law import Array
from pipeline.contract.tensors import (
    Contract,
    HeldOutData,
    Integers,
    Normal,
    Sample,
    Tensors,
    TensorSpec,
)
from pipeline.errors import UsageError, unknown


def sampled(
    contract: Contract, example: Mapping[str, Tensor], told: Mapping[str, Any]
) -> tuple[tuple[TensorSpec, ...], Tensors]:
    """The inputs of ``contract``, with rules for their samples, and the data to be held out.

    ``told`` has, for an input, a pair of mean and deviation, a ``range`` of whole numbers, the name
    of an axis whose lengths the input has, or data ``[time, …]`` to cut from. For other inputs,
    floats are drawn with the mean and the deviation of ``example``, and whole numbers from its
    smallest to its largest.

    Raises:
        UsageError: a sample is of no input, or does not fit it.
    """
    names = [spec.name for spec in contract.data_inputs]
    for name in told:
        if name not in names:
            raise unknown("input", name, names)
    specs, held_out = [], {}
    for spec in contract.inputs:
        if spec.name not in names:
            specs.append(spec)
            continue
        sample = told.get(spec.name)
        if sample is None:
            rule = _of_example(example[spec.name].numpy())
        elif isinstance(sample, np.ndarray | Tensor | list):
            held_out[spec.name] = _data(contract, spec, np.asarray(sample))
            rule = HeldOutData()
        else:
            rule = _told(contract, spec, sample)
        specs.append(spec.model_copy(update={"sample": rule}))
    return tuple(specs), held_out


def _of_example(example: Array) -> Sample:
    if example.dtype.kind != "f":
        whole = example.astype(np.int64)
        return Integers(least=int(whole.min(initial=0)), most=int(whole.max(initial=0)))
    mean = float(example.mean(dtype=np.float64)) if example.size else 0.0
    deviation = float(example.std(dtype=np.float64)) if example.size else 0.0
    usable = np.isfinite([mean, deviation]).all() and deviation > 0
    return Normal(mean=mean if np.isfinite(mean) else 0.0, deviation=deviation if usable else 1.0)


def _told(contract: Contract, spec: TensorSpec, sample: Any) -> Sample:
    floats = spec.type.startswith("float")
    if isinstance(sample, range) and not floats and len(sample) and sample.step == 1:
        return Integers(least=sample.start, most=sample.stop - 1)
    if isinstance(sample, str) and not floats:
        axes = {axis for one in contract.inputs for axis in one.shape if isinstance(axis, str)}
        if sample not in axes:
            raise unknown("axis", sample, sorted(axes))
        return Integers(least=1, most=sample)
    if isinstance(sample, tuple) and len(sample) == 2 and floats and sample[1] > 0:
        return Normal(mean=float(sample[0]), deviation=float(sample[1]))
    wanted = "a pair of mean and deviation" if floats else "a range, or the name of an axis"
    raise UsageError(
        f"samples of {spec.name} are {sample!r}; give {wanted}, or an array of data to cut from"
    )


def _data(contract: Contract, spec: TensorSpec, data: Array) -> Array:
    rest = spec.shape[2:]
    if spec.shape[:2] != (contract.batch, contract.time) or data.shape[1:] != rest:
        raise UsageError(
            f"samples of {spec.name} have shape {list(data.shape)}; data to cut from are [time"
            f"{''.join(f', {size}' for size in rest)}], for an input [batch, time, …]"
        )
    if not len(data):
        raise UsageError(f"samples of {spec.name} are empty; give some")
    return data.astype(spec.type)
