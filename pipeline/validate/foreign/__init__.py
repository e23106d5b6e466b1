"""Two models that others exported: do they give the same numbers, with the state carried on?"""

from pipeline.validate.foreign.pair import Choices
from pipeline.validate.foreign.run import ForeignFile, validate_pair

__all__ = ["Choices", "ForeignFile", "validate_pair"]
