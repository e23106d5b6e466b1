"""Runtimes that can be compared: each a file behind the protocol below."""

from pipeline.runtimes.base import Absent, Refused, Runtime
from pipeline.runtimes.catalog import (
    ALL,
    PROVIDERS,
    describe,
    open_runtimes,
    optional_versions,
    require,
)

__all__ = [
    "ALL",
    "PROVIDERS",
    "Absent",
    "Refused",
    "Runtime",
    "describe",
    "open_runtimes",
    "optional_versions",
    "require",
]
