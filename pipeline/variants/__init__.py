"""Variants of a bundle: its weights stored small, in float16, int8 or int4, arithmetic in float32.

Weights are rounded (``rounding``), and what is rounded takes the place of float32 in the graph
(``graph``), where nodes make float32 of it again. Nothing here knows a network: a weight is found
in a graph by its numbers.
"""
