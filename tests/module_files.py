"""The files of a module, run and compared with the module in eager PyTorch."""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from tiny import open_session
from torch import Tensor, nn

from pipeline.contract.law import FLOAT32
from pipeline.export import export_onnx
from pipeline.export.quiet import quiet_exporter
from pipeline.export.state import Explicit


def leaves(values: object) -> list[Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(values) if leaf is not None]


def eager(module: nn.Module, inputs: Sequence[Any]) -> list[Tensor]:
    with torch.inference_mode(), quiet_exporter():
        return leaves(module(*inputs))


def infer(path: Path, inputs: Sequence[Any]) -> list[Tensor]:
    session = open_session(path)
    names = [item.name for item in session.get_inputs()]
    arrays = [tensor.numpy() for tensor in leaves(inputs)]
    return [torch.from_numpy(y) for y in session.run(None, dict(zip(names, arrays, strict=True)))]


def traced(path: Path, inputs: Sequence[Any]) -> list[Tensor]:
    with quiet_exporter():
        return eager(torch.jit.load(io.BytesIO(path.read_bytes())), inputs)


def close(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    return all(
        f.shape == e.shape and torch.allclose(f, e, rtol=FLOAT32.rtol, atol=FLOAT32.atol)
        for f, e in zip(found, expected, strict=True)
    )


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def written(pure: Explicit, path: Path) -> Any:
    """The pure module as an ONNX file, open."""
    export_onnx(
        pure.module,
        tuple(pure.example.values()),
        path,
        input_names=list(pure.example),
        output_names=[spec.name for spec in pure.contract.outputs],
        dynamic_axes=pure.axes,
    )
    return open_session(path)
