"""The PyTorch network of a bundle."""

from pipeline.checkpoint import allow_non_finite, network_from
from pipeline.contract import Bundle
from pipeline.contract.manifest import WEIGHTS_FILE
from pipeline.model import Network


def network_of(bundle: Bundle) -> Network:
    """The PyTorch network with the weights of the bundle, on the CPU, in evaluation mode.

    Raises:
        MalformedError: the weights are not those of the model in the manifest.
        IntegrityError: the weights file was changed.
    """
    manifest = bundle.manifest
    return network_from(
        bundle.read(WEIGHTS_FILE),
        bundle.folder / WEIGHTS_FILE,
        manifest.model,
        manifest.scaler,
        manifest.vocabulary,
        allow_non_finite(manifest.source),
    )
