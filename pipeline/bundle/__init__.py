"""Writing bundles, the folders ``exported/<name>/``, whose format is in ``exported/README.md``."""

from typing import TYPE_CHECKING

from pipeline.bundle.current import current_bundle
from pipeline.contract import Bundle, open_bundle
from pipeline.later import later

if TYPE_CHECKING:
    from pipeline.bundle.network import network_of
    from pipeline.bundle.write import build_bundle
else:
    __getattr__ = later(__name__, {"network": ("network_of",), "write": ("build_bundle",)})

__all__ = ["Bundle", "build_bundle", "current_bundle", "network_of", "open_bundle"]
