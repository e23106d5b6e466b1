"""PyTorch itself, eager: the network as it was trained, and its float64 twin."""

import numpy as np
import torch
from torch import Tensor

from pipeline.contract.law import Precision
from pipeline.model import Network
from pipeline.runtimes.base import Exact, Input, Runtime, State

# TF32 is no type of PyTorch on the CPU; float32 from weights that were rounded to it stands in.
_DTYPE: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
_TF32_EPS = 2.0**-10  # its mantissa has 10 bits


class PyTorch(Runtime):
    """The network as it was trained, on the CPU, or a copy that computes in less than float32."""

    format = "PyTorch"
    provider = home = "cpu"
    name = f"PyTorch {torch.__version__}"

    def __init__(self, network: Network, precision: Precision = "float32") -> None:
        self.precision = precision
        self.dtype = _DTYPE[precision]
        self.eps = torch.finfo(self.dtype).eps  # how it rounds a number near one
        self.network = network.eval() if precision == "float32" else network.twin(self.dtype)

    def run(self, input: Input, state: State) -> tuple[State, State]:
        """One call of the contract."""
        output, next_state = _call(self.network, self.dtype, input, state)
        return output.float().numpy(), next_state.float().numpy()


def rounded_otherwise(network: Network, precision: Precision, seed: int) -> Network:
    """``network`` with every weight off by half a rounding of ``precision``, up or down by chance.

    What computes in that precision may round its weights so too.
    """
    generator = torch.Generator().manual_seed(seed)
    other = network.twin(torch.float32)
    eps = _TF32_EPS if precision == "tf32" else torch.finfo(_DTYPE[precision]).eps
    with torch.no_grad():
        for weight in other.parameters():
            sign = torch.randint(2, weight.shape, generator=generator) * 2 - 1
            weight.mul_(1 + sign * (eps / 2))
    return other


class Twin:
    """The float64 twin of a network, called like a runtime."""

    def __init__(self, network: Network) -> None:
        self.network = network.twin(torch.float64)

    def run(self, input: Input | Exact, state: Exact | State) -> tuple[Exact, Exact]:
        """One call of the contract, its results in float64."""
        output, next_state = _call(self.network, torch.float64, input, state)
        return output.numpy(), next_state.numpy()


def _call(
    network: Network, dtype: torch.dtype, input: Input | Exact, state: State | Exact
) -> tuple[Tensor, Tensor]:
    source = torch.from_numpy(np.ascontiguousarray(input))
    with torch.inference_mode():
        output, next_state = network(
            source.to(dtype) if source.is_floating_point() else source,
            torch.from_numpy(state).to(dtype),
        )
    return output, next_state.contiguous()
