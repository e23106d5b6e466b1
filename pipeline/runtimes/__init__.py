"""Runtimes that can be compared: each a file behind the protocol in ``base.py``.

Nothing is imported here, so that the process of one runtime loads no other.
"""
