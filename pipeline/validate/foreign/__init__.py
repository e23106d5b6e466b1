"""Two models that others exported: do they give the same numbers, with the state carried on?"""

from pipeline.validate.foreign.pair import PairChoices
from pipeline.validate.foreign.run import ForeignFile, validate_pair

__all__ = ["ForeignFile", "PairChoices", "validate_pair"]
