"""Weights in safetensors, and the network that they belong to."""

from pathlib import Path

import safetensors
from safetensors.torch import load as load_safetensors
from torch import Tensor

from pipeline.config import ImportedSource, Source
from pipeline.errors import MalformedError
from pipeline.model import Network


def parse_weights(data: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        MalformedError: it is truncated or not safetensors.
    """
    try:
        return load_safetensors(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise MalformedError(
            f"{path} is truncated or not safetensors ({error}); make it anew"
        ) from error


def allow_non_finite(source: Source | ImportedSource) -> bool:
    """Whether a model of ``source`` may have weights that are NaN or infinite."""
    return isinstance(source, ImportedSource) and source.non_finite


def put_weights(
    network: Network, tensors: dict[str, Tensor], path: Path, non_finite: bool = False
) -> Network:
    """``network`` with exactly ``tensors``; ``non_finite`` lets NaN and infinity pass.

    Raises:
        MalformedError: names or shapes differ (all are listed), or a weight is not finite.
    """
    own = network.state_dict()
    expected = {name: tuple(tensor.shape) for name, tensor in own.items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    faults = [f"missing {name}" for name in expected.keys() - found.keys()]
    faults += [f"unexpected {name}" for name in found.keys() - expected.keys()]
    faults += [
        f"{name} is {list(found[name])}, not {list(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    faults += [
        f"{name} is {tensors[name].dtype}, not {own[name].dtype}"
        for name in own.keys() & tensors.keys()
        if tensors[name].dtype != own[name].dtype
    ]
    faults += [
        f"{name} is not finite"
        for name, tensor in tensors.items()
        if not non_finite and not tensor.isfinite().all()
    ]
    if faults:
        raise MalformedError(f"{path} does not fit its model: {'; '.join(sorted(faults))}")
    network.load_state_dict(tensors)
    return network.eval()
