"""Modules as users write them, into which the test of the validator plants its faults."""

from collections.abc import Iterator
from typing import Any

import safetensors.numpy
import torch
from torch import Tensor, nn

from pipeline.bundle.module import weights_file
from pipeline.bundle.module_axes import axes_of
from pipeline.bundle.module_graphs import graphs
from pipeline.bundle.module_reference import explicit_reference
from pipeline.cells import CELLS, ENTRIES, Cell
from pipeline.contract.tensors import Tensors
from pipeline.export.state import explicit
from pipeline.network_tensors import DEFAULT_OPSET
from pipeline.verify import Reference


class Remembering(nn.Module):
    """Two recurrent layers, whose state the module keeps to itself, and a head."""

    def __init__(self, cell: Cell, hidden_size: int = 8, features: int = 3) -> None:
        super().__init__()
        layer: Any = ENTRIES[cell].layer()
        self.layers = layer(features, hidden_size, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden_size, features)
        self.hidden: Tensor | tuple[Tensor, ...] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, time, features]`` to the same shape."""
        y, self.hidden = self.layers(x, self.hidden)
        changed: Tensor = x + self.head(y)
        return changed


def trial_modules() -> Iterator[tuple[str, bytes, Tensors, Reference]]:
    """Name, ONNX file, weights and reference of a module of each cell."""
    for seed, cell in enumerate(CELLS):
        torch.manual_seed(seed)
        module = Remembering(cell)
        found = explicit(module, torch.randn(2, 5, 3), axes={"x": {0: "batch", 1: "time"}})
        reference, _ = explicit_reference(found, axes_of(found), {})
        file, _ = graphs(found, reference, DEFAULT_OPSET)
        yield f"module-{cell}", file, safetensors.numpy.load(weights_file(module, found)), reference
