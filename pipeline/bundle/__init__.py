"""The folder ``exported/<name>/`` that users take away; ``exported/README.md`` is its format."""

from pipeline.bundle.read import Bundle, current_bundle, open_bundle
from pipeline.bundle.write import build_bundle

__all__ = [
    "Bundle",
    "build_bundle",
    "current_bundle",
    "open_bundle",
]
