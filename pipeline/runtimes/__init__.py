"""Runtimes that can be compared: each a file behind the protocol below."""

from pipeline.runtimes.base import Absent, Runtime
from pipeline.runtimes.catalog import PROVIDERS, open_runtimes, require

__all__ = ["PROVIDERS", "Absent", "Runtime", "open_runtimes", "require"]
