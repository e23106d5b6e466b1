"""The weights of a bundle as numbers: those in float32, and those that a variant stores small."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import safetensors
import safetensors.numpy

from pipeline.contract.bundle import Bundle
from pipeline.contract.files import WEIGHTS_FILE
from pipeline.contract.law import Array
from pipeline.contract.small_weights import SmallWeight, header_of, small_weights
from pipeline.contract.weights import check_header, weight_shapes
from pipeline.errors import MalformedError


@dataclass(frozen=True)
class BundleWeights:
    """Weights and buffers by name.

    ``arrays`` are the numbers that every runtime computes with; those of a variant are the values
    of ``small``, which has each of its weights as it is stored.
    """

    arrays: dict[str, Array]
    small: Mapping[str, SmallWeight] = field(default_factory=dict)


def bundle_weights(bundle: Bundle) -> BundleWeights:
    """The weights of ``bundle``, read without torch.

    Raises:
        MalformedError: the weights are not those that the manifest tells of.
        IntegrityError: the weights file was changed.
    """
    manifest, path = bundle.manifest, bundle.folder / WEIGHTS_FILE
    data = bundle.read(WEIGHTS_FILE)
    stored = manifest.variant.stored if manifest.variant else {}
    if manifest.model is not None:
        shapes = weight_shapes(manifest.model, len(manifest.vocabulary or ""))
        check_header(data, shapes, path, stored)
    try:
        tensors = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise MalformedError(
            f"{path} is truncated or not safetensors ({error}); export it anew"
        ) from error
    header = header_of(stored)
    for name, (_, shape) in header.items():
        if name not in tensors or tensors[name].shape != shape:
            raise MalformedError(f"{path} has not {name[:80]} of the manifest; export it anew")
    small = small_weights(tensors, stored)
    arrays = {name: array for name, array in tensors.items() if name not in header}
    return BundleWeights(arrays | {name: weight.values for name, weight in small.items()}, small)
