"""The comparison of two model files that were exported elsewhere, with the state carried on."""

from pipeline.validate.foreign.pair import PairChoices
from pipeline.validate.foreign.run import ForeignFile, validate_pair

__all__ = ["ForeignFile", "PairChoices", "validate_pair"]
