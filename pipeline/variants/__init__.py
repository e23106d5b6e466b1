"""Variants of a bundle: its weights stored small, in float16, int8 or int4, arithmetic in float32.

Weights are rounded (``rounding``, ``compensation``), and ``choice`` takes what scores best. They
are found in the graph by their numbers (``places``), and what is rounded takes the place of float32
there (``graph``), where nodes make float32 of it again (``decoding``; ``full_graph`` is the way
back). Nothing here knows a network.
"""
