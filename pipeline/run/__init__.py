"""An exported model at work, in Python and by ``pipeline run``: ONNX Runtime runs it, not torch."""
