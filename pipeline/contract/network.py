"""A built-in network as its bundle holds it: the architecture, and numbers by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.config import ImportedSource, SeriesModel, TextModel
from pipeline.contract.bundle import Bundle
from pipeline.contract.bundle_weights import bundle_weights
from pipeline.contract.files import WEIGHTS_FILE
from pipeline.contract.records import Scaler
from pipeline.contract.small_weights import SmallWeight
from pipeline.errors import MalformedError


@dataclass(frozen=True)
class StoredNetwork:
    """Architecture and weights; ``weights`` has the names of :func:`weight_shapes`.

    A series has a ``scaler``, a text a ``vocabulary``. ``small`` has the weights of a variant as
    they are stored; ``weights`` are its values.
    """

    config: SeriesModel | TextModel
    weights: dict[str, NDArray[np.float32]]
    scaler: Scaler | None
    vocabulary: str | None
    small: Mapping[str, SmallWeight] = field(default_factory=dict)


def stored_network(bundle: Bundle) -> StoredNetwork:
    """The network of ``bundle``, read without torch.

    Raises:
        MalformedError: the weights are not those of the model in the manifest.
        IntegrityError: the weights file was changed.
    """
    manifest, path = bundle.manifest, bundle.folder / WEIGHTS_FILE
    assert manifest.model is not None
    weights = bundle_weights(bundle)
    faults = [name for name, array in weights.arrays.items() if not np.isfinite(array).all()]
    source = manifest.source
    if faults and not (isinstance(source, ImportedSource) and source.non_finite):
        raise MalformedError(f"{path} does not fit its model: {', '.join(faults)} is not finite")
    return StoredNetwork(
        manifest.model, weights.arrays, manifest.scaler, manifest.vocabulary, weights.small
    )
