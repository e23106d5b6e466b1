"""Python's loops, branches and sizes in a module's source, as operations that a graph has.

A loop over time becomes torch's scan (``roll``), an ``if`` on values becomes a choice between both
of its ways (``branches``), and a size that Python has as a number stays open (``sizes``).
``rewrite`` puts other functions in the place of the author's for the time of an export.
"""
