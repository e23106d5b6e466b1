"""tract, an engine in Rust: one model with symbolic batch and time."""

import tempfile
from pathlib import Path

from pipeline.runtimes.base import Input, Runtime, State, feeds, package_version, results


class Tract(Runtime):
    """A model that tract has made ready to run."""

    format = "ONNX"
    provider = home = "cpu"

    def __init__(self, file: bytes) -> None:
        import tract

        self.name = f"tract {package_version('tract')}"
        with tempfile.TemporaryDirectory() as folder:  # it loads from a path only
            path = Path(folder) / "model.onnx"
            path.write_bytes(file)
            self.model = tract.onnx().load(path).into_model().into_runnable()

    def run(self, input: Input, state: State) -> tuple[State, State]:
        """One call of the contract; tract knows the tensors by their order."""
        found = self.model.run(list(feeds(input, state).values()))
        return results([tensor.to_numpy() for tensor in found], state)
