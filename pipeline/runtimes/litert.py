"""LiteRT, which was TensorFlow Lite: step graphs for phones."""

import tempfile
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from pipeline.contract.law import Array
from pipeline.packages import package_version
from pipeline.runtimes.base import Runtime
from pipeline.runtimes.converter import Converter
from pipeline.runtimes.kind import Kind
from pipeline.threads import threads_of, weights_in


class LiteRt(Runtime):
    """A file of LiteRT, run by its interpreter with the kernels of XNNPACK."""

    format = "LiteRT"
    provider = home = "cpu"

    def __init__(self, file: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.name = f"litert {package_version('ai_edge_litert')}"
        self.interpreter = Interpreter(model_content=file, num_threads=threads_of(weights_in(file)))
        self.interpreter.allocate_tensors()
        signature = self.interpreter.get_signature_runner()
        inputs, outputs = signature.get_input_details(), signature.get_output_details()
        self.inputs = [inputs[name]["index"] for name in _in_order(inputs)]
        self.outputs = [outputs[name]["index"] for name in _in_order(outputs)]

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One step, its inputs given by their order."""
        for index, array in zip(self.inputs, inputs.values(), strict=True):
            self.interpreter.set_tensor(index, array)
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(index) for index in self.outputs]


def _in_order(names: Iterable[str]) -> list[str]:
    """The names of tensors, which end in their places: ``args_0``, ``output_10``."""
    return sorted(names, key=lambda name: int(name.rpartition("_")[2]))


def convert(program: bytes) -> bytes:
    """The file of a program of ``torch.export``; 64-bit integers stay what they are."""
    import io

    import litert_torch
    import torch

    exported = torch.export.load(io.BytesIO(program))
    assert exported.example_inputs is not None
    inputs, _ = exported.example_inputs
    model = litert_torch.convert(exported.module(check_guards=False), inputs, enable_x64=True)
    with tempfile.TemporaryDirectory() as folder:  # it writes only to a path
        path = Path(folder) / "model.tflite"
        model.export(str(path))
        return path.read_bytes()


KIND = Kind(
    name="litert",
    format=LiteRt.format,
    package="ai_edge_litert",
    file="model.tflite",
    openers=lambda file, provider: [partial(LiteRt, file)],
    help="LiteRT, for phones, called step by step and stream by stream",
    limits="It runs what 'pipeline export NAME --format litert' has converted, of models that can "
    "be called step by step",
    extras=("litert",),
    requirement="ai-edge-litert>=2.3",
    converter=Converter(
        convert,
        (
            "litert-torch==0.10.0",
            "litert-converter==0.5.0",
            "ai-edge-litert==2.3.0",
            "ai-edge-quantizer==0.10.0",
            "absl-py==2.5.1",
            "flatbuffers==25.12.19",
            "immutabledict==4.2.1",
            "jax==0.6.2; python_version < '3.11'",
            "jax==0.10.2; python_version >= '3.11'",
            "jaxlib==0.6.2; python_version < '3.11'",
            "jaxlib==0.10.2; python_version >= '3.11'",
            "opt-einsum==3.4.0",
            "scipy==1.15.3; python_version < '3.11'",
            "scipy==1.17.1; python_version >= '3.11'",
            "torchao==0.18.0",
            "tqdm==4.70.1",
        ),
        megabytes=914,
    ),
)
