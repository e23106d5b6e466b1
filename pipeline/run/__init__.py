"""An exported model at work, with numpy and ONNX Runtime; torch is never imported here."""
