"""Runtimes that can be compared: each a file behind the protocol below."""

from pipeline.runtimes.base import Absent, Refused, Runtime
from pipeline.runtimes.catalog import (
    ALL,
    DEFAULT,
    PROVIDERS,
    describe_error,
    open_runtimes,
    optional_versions,
    require,
)

__all__ = [
    "ALL",
    "DEFAULT",
    "PROVIDERS",
    "Absent",
    "Refused",
    "Runtime",
    "describe_error",
    "open_runtimes",
    "optional_versions",
    "require",
]
