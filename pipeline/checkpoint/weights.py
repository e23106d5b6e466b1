"""Weights in safetensors, and the network that they belong to."""

from pathlib import Path

import safetensors
import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor

from pipeline.config import ImportedSource, SeriesModel, Source, TextModel
from pipeline.contract.records import Scaler
from pipeline.contract.weights import (
    check_header,
    check_tensors,
    float32_header,
    weight_shapes,
)
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


def network_from(
    data: bytes,
    path: Path,
    model: SeriesModel | TextModel,
    scaler: Scaler | None,
    vocabulary: str | None,
    non_finite: bool = False,
) -> Network:
    """The network of ``model`` with the weights in ``data``, on the CPU, in evaluation mode.

    Shapes are checked before memory is allocated; ``non_finite`` lets NaN and infinity pass.

    Raises:
        MalformedError: ``data`` is truncated or not safetensors, names, types or shapes are not
            those of the model (all are listed), or a weight is not finite.
    """
    check_header(data, weight_shapes(model, len(vocabulary or "")), path)
    network = Network(model, scaler=scaler, vocabulary=vocabulary)
    return put_weights(network, parse_weights(data, path), path, non_finite)


def put_weights(
    network: Network, tensors: dict[str, Tensor], path: Path, non_finite: bool = False
) -> Network:
    """``network`` with exactly ``tensors``; ``non_finite`` lets NaN and infinity pass.

    Raises:
        MalformedError: names, types or shapes differ (all are listed), or a weight is not finite.
    """
    types = {torch.float32: "F32"}
    found = {
        name: (types.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape))
        for name, tensor in tensors.items()
    }
    shapes = weight_shapes(network.config, len(network.vocabulary or ""))
    check_tensors(found, float32_header(shapes), path)
    faults = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if faults and not non_finite:
        raise MalformedError(f"{path} does not fit its model: {', '.join(faults)} is not finite")
    network.load_state_dict(tensors)
    return network.eval()
