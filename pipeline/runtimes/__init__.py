"""The runtimes that can be compared: one file each, with the interface in ``base.py``.

Nothing is imported here, so that the process of one runtime loads no other runtime.
"""
