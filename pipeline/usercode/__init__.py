"""The user's own Python, and what is said of it on the command line: module, weights and inputs.

It is run as ``python mynet.py`` would run it. Nothing of a bundle or of a weights file is.
"""
