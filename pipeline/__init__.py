"""Recurrent networks from PyTorch to the place where they run: train, export, validate, embed."""

__version__ = "0.1.0"
