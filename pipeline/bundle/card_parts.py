"""The parts that the cards of networks and of modules share: tensors, files, how to open one."""

from collections.abc import Iterable

from pipeline.contract.tensors import TensorSpec
from pipeline.escaping import markdown


def tensor_table(specs: Iterable[TensorSpec]) -> str:
    """A row of Markdown for each tensor, below a head."""
    rows = "".join(
        f"| `{spec.name}` | {spec.type} | [{', '.join(map(str, spec.shape))}] "
        f"| {markdown(spec.meaning)} |\n"
        for spec in specs
    )
    return f"| tensor | type | shape | meaning |\n|---|---|---|---|\n{rows}"


def files_section(loop: str = "") -> str:
    """What the files of the bundle are; ``loop`` is the line on the graph with the loop inside."""
    return f"""\
## Files

`onnx/model.onnx` and `model.pt` (TorchScript) are this function; {loop}\
`model.safetensors` holds the PyTorch weights, `golden.json` calls with their results to replay,
`manifest.json` all of this for a machine, and `validation.json`, once `pipeline validate` has run,
how close each runtime came.
"""


def opened(file: str, imports: str = "") -> str:
    """The lines of Python that open ``file`` of the bundle as ``session``, after ``imports``."""
    return f"""\
{imports}import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # a step is too small to share
session = onnxruntime.InferenceSession("{file}", options)"""
