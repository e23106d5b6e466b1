"""A state that begins in front of a Python loop over time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import refused
from torch import Tensor, nn

import pipeline
from pipeline.errors import MalformedError

AXES = {"x": {0: "batch", 1: "time"}}


class Loop(nn.Module):
    """A cell whose state begins with zeros that ``forward`` makes, unless it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.size(0), 3)
        ys = []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            ys.append(h)
        return torch.stack(ys, 1)


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return Loop()


def test_its_layer_is_named_with_both_ways_out(module: nn.Module, tmp_path: Path) -> None:
    with refused(MalformedError, "the state of 'cell' begins in front of a loop", "--state none"):
        pipeline.export(module, torch.randn(1, 9, 2), name="loop", axes=AXES, exported=tmp_path)
    assert not (tmp_path / "loop").exists()


def test_whole_sequences_are_a_way_out(module: nn.Module, tmp_path: Path) -> None:
    x = torch.randn(2, 9, 2)
    bundle = pipeline.export(module, x, name="loop", axes=AXES, states="none", exported=tmp_path)
    assert not bundle.manifest.states
    longer = torch.randn(3, 14, 2)
    expected = module(longer).detach().numpy()
    np.testing.assert_allclose(bundle.run(x=longer.numpy())["output"], expected, atol=1e-6)
