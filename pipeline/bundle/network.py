"""A bundle joined with the network that it was made of."""

from pathlib import Path

from pipeline.checkpoint import allow_non_finite, network_from, versions
from pipeline.contract import Bundle, open_bundle
from pipeline.contract.manifest import WEIGHTS_FILE
from pipeline.errors import IntegrityError, MalformedError, UnsafeError
from pipeline.model import Network


def network_of(bundle: Bundle) -> Network:
    """The PyTorch network with the weights of the bundle, on the CPU, ready to use.

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


def current_bundle(folder: Path, checkpoint_sha256: str, opset: int) -> Bundle | None:
    """The bundle in ``folder`` if it is whole and what exporting now would give again."""
    try:
        bundle = open_bundle(folder)
        bundle.verify()
    except (MalformedError, IntegrityError, UnsafeError):
        return None
    manifest = bundle.manifest
    made_from = (manifest.checkpoint_sha256, manifest.opset, manifest.versions)
    return bundle if made_from == (checkpoint_sha256, opset, versions()) else None
