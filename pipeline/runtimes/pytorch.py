"""PyTorch itself, eager: the network as it was trained, and its float64 twin."""

import numpy as np
import torch

from pipeline.model import Network
from pipeline.runtimes.base import Exact, Input, Runtime, State


class PyTorch(Runtime):
    """The network as it was trained, on the CPU."""

    format = "PyTorch"
    provider = home = "cpu"
    name = f"torch {torch.__version__}"

    def __init__(self, network: Network) -> None:
        self.network = network.eval()

    def run(self, input: Input, state: State) -> tuple[State, State]:
        """One call of the contract."""
        with torch.inference_mode():
            output, next_state = self.network(
                torch.from_numpy(np.ascontiguousarray(input)), torch.from_numpy(state)
            )
        return output.numpy(), next_state.contiguous().numpy()


class Twin:
    """The float64 twin of a network, called like a runtime."""

    def __init__(self, network: Network) -> None:
        self.network = network.float64_twin()

    def run(self, input: Input, state: Exact | State) -> tuple[Exact, Exact]:
        """One call of the contract, its results in float64."""
        source = torch.from_numpy(np.ascontiguousarray(input))
        with torch.inference_mode():
            output, next_state = self.network(
                source.double() if source.is_floating_point() else source,
                torch.from_numpy(state).double(),
            )
        return output.numpy(), next_state.contiguous().numpy()
