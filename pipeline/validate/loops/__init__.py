"""Validation of graphs with the loop inside, against the same loops in eager PyTorch."""

from pipeline.validate.loops.run import loop_row, looped_rows

__all__ = ["loop_row", "looped_rows"]
