"""Graphs with the loop inside, beside eager loops of PyTorch with the same numbers."""

from pipeline.validate.loops.run import loop_row, looped_rows

__all__ = ["loop_row", "looped_rows"]
