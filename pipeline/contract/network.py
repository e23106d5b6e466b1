"""A built-in network as its bundle holds it: the architecture, and numbers by name."""

from dataclasses import dataclass

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from pipeline.config import ImportedSource, SeriesModel, TextModel
from pipeline.contract.bundle import Bundle
from pipeline.contract.files import WEIGHTS_FILE
from pipeline.contract.records import Scaler
from pipeline.contract.weights import check_header, weight_shapes
from pipeline.errors import MalformedError


@dataclass(frozen=True)
class StoredNetwork:
    """Architecture and weights; ``weights`` has the names of :func:`weight_shapes`.

    A series has a ``scaler``, a text a ``vocabulary``.
    """

    config: SeriesModel | TextModel
    weights: dict[str, NDArray[np.float32]]
    scaler: Scaler | None
    vocabulary: str | None


def stored_network(bundle: Bundle) -> StoredNetwork:
    """The network of ``bundle``, read without torch.

    Raises:
        MalformedError: the weights are not those of the model in the manifest.
        IntegrityError: the weights file was changed.
    """
    manifest, path = bundle.manifest, bundle.folder / WEIGHTS_FILE
    assert manifest.model is not None
    data = bundle.read(WEIGHTS_FILE)
    check_header(data, weight_shapes(manifest.model, len(manifest.vocabulary or "")), path)
    try:
        weights = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise MalformedError(
            f"{path} is truncated or not safetensors ({error}); export it anew"
        ) from error
    faults = [name for name, array in weights.items() if not np.isfinite(array).all()]
    source = manifest.source
    if faults and not (isinstance(source, ImportedSource) and source.non_finite):
        raise MalformedError(f"{path} does not fit its model: {', '.join(faults)} is not finite")
    return StoredNetwork(manifest.model, weights, manifest.scaler, manifest.vocabulary)
