"""ExecuTorch, PyTorch's own runtime for phones and small devices: step graphs on XNNPACK."""

from collections.abc import Mapping
from functools import partial

import numpy as np

from pipeline.contract.law import Array
from pipeline.packages import package_version
from pipeline.runtimes.base import Runtime
from pipeline.runtimes.converter import Converter
from pipeline.runtimes.kind import Kind
from pipeline.threads import threads_of, weights_in


class ExecuTorch(Runtime):
    """A program of ExecuTorch, which takes and gives PyTorch's tensors."""

    format = "ExecuTorch"
    provider = home = "cpu"

    def __init__(self, file: bytes) -> None:
        from executorch.extension.pybindings import portable_lib

        self.name = f"executorch {package_version('executorch')}"
        portable_lib._unsafe_reset_threadpool(threads_of(weights_in(file)))
        self.file = file  # the program reads its weights there, and keeps no copy
        self.program = portable_lib._load_for_executorch_from_buffer(file)

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One step, its inputs given by their order."""
        import torch

        given = [torch.from_numpy(np.array(array)) for array in inputs.values()]
        return [tensor.numpy().copy() for tensor in self.program.forward(given)]


def convert(program: bytes) -> bytes:
    """The file of a program of ``torch.export``, in which XNNPACK computes what it can."""
    import io

    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    exported = torch.export.load(io.BytesIO(program))
    edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    return bytes(edge.to_executorch().buffer)


KIND = Kind(
    name="executorch",
    format=ExecuTorch.format,
    package="executorch",
    file="model.pte",
    openers=lambda file, provider: [partial(ExecuTorch, file)],
    help="ExecuTorch on XNNPACK, for phones, called step by step and stream by stream",
    limits="It runs what 'pipeline export NAME --format executorch' has converted, of models that "
    "can be called step by step; the same command installs it",
    extras=("executorch",),
    requirement="executorch>=1.5",
    converter=Converter(
        convert,
        (
            "executorch==1.5.1",
            "torchao==0.18.0",
            "flatbuffers==25.12.19",
            "pyyaml==6.0.4",
            "ruamel.yaml==0.19.1",
            "tabulate==0.10.0",
        ),
        megabytes=163,
        runs=True,
    ),
)
