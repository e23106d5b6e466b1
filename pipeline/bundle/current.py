"""The check whether exporting again would give the same bundle."""

from pathlib import Path

from pipeline.checkpoint import versions
from pipeline.contract import Bundle, open_bundle
from pipeline.contract.small_weights import SmallType
from pipeline.errors import IntegrityError, MalformedError, UnsafeError


def current_bundle(folder: Path, checkpoint_sha256: str, opset: int) -> Bundle | None:
    """The bundle in ``folder``; None unless it is whole and exporting again would give the same."""
    try:
        bundle = open_bundle(folder)
        bundle.verify()
    except (MalformedError, IntegrityError, UnsafeError):
        return None
    manifest = bundle.manifest
    made_from = (manifest.checkpoint_sha256, manifest.opset, manifest.versions)
    return bundle if made_from == (checkpoint_sha256, opset, versions()) else None


def current_variant(bundle: Bundle, kind: SmallType) -> Bundle | None:
    """The variant of ``bundle`` in ``kind``; None unless making it again would give the same."""
    try:
        found = open_bundle(bundle.folder / kind)
        found.verify()
    except (MalformedError, IntegrityError, UnsafeError):
        return None
    variant = found.manifest.variant
    made_from = variant and (variant.of_sha256, found.manifest.versions)
    return found if made_from == (bundle.digest, versions()) else None
