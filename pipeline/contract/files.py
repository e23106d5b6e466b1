"""The names of the files in a bundle; a graph with the loop inside is named in the manifest."""

MANIFEST_FILE = "manifest.json"
CARD_FILE = "README.md"
WEIGHTS_FILE = "model.safetensors"
TORCHSCRIPT_FILE = "model.pt"
ONNX_FILE = "onnx/model.onnx"
GOLDEN_FILE = "golden.json"
INITIAL_FILE = "initial.json"  # initial states that no constant says
VALIDATION_FILE = "validation.json"
SIGNATURE_FILE = "model.sig"
