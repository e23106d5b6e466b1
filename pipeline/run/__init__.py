"""Exported models run by ONNX Runtime, without torch, in Python and by ``pipeline run``."""
