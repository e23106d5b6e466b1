"""PyTorch itself, eager: float32, and its float64 twin as the measure of truth."""

import copy

import numpy as np
import torch

from pipeline.model import Network
from pipeline.runtimes.base import Input, State


class PyTorch:
    """The network as it was trained, in ``float32`` or ``float64``, on the CPU."""

    format = "PyTorch"
    provider = home = "cpu"

    def __init__(self, network: Network, dtype: torch.dtype = torch.float32) -> None:
        self.network = copy.deepcopy(network).to(dtype).eval()
        self.dtype = dtype
        self.name = f"torch {torch.__version__}"

    def run(self, input: Input, state: State) -> tuple[State, State]:
        """One call; results have the type of the network."""
        source = torch.from_numpy(np.ascontiguousarray(input))
        source = source.to(self.dtype) if source.is_floating_point() else source
        with torch.inference_mode():
            output, next_state = self.network(source, torch.from_numpy(state).to(self.dtype))
        return output.numpy(), next_state.contiguous().numpy()

    def placement(self) -> dict[str, str]:
        """One place only."""
        return {}
