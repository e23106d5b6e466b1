"""The folder ``exported/<name>/`` that users take away; ``exported/README.md`` is its format."""

from pipeline.bundle.network import current_bundle, network_of
from pipeline.bundle.write import build_bundle
from pipeline.contract import Bundle, open_bundle

__all__ = [
    "Bundle",
    "build_bundle",
    "current_bundle",
    "network_of",
    "open_bundle",
]
