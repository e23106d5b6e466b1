"""Eager PyTorch: the network as it was trained, and its float64 twin."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from pipeline.contract.law import EPS, Array, Exact, Precision
from pipeline.model import Network
from pipeline.runtimes.base import Input, Runtime, State, feeds, results
from pipeline.signature import INPUT, STATE

# PyTorch has no TF32 on the CPU; float32 with weights rounded to TF32 takes its place.
_DTYPE: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


class PyTorch(Runtime):
    """The network as it was trained, on the CPU, or a copy that computes in less than float32."""

    format = "PyTorch"
    provider = home = "cpu"
    name = f"PyTorch {torch.__version__}"

    def __init__(self, network: Network, precision: Precision = "float32") -> None:
        self.precision = precision
        self.dtype = _DTYPE[precision]
        self.eps = torch.finfo(self.dtype).eps  # rounding of a number near one
        self.network = network.eval() if precision == "float32" else network.twin(self.dtype)

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of the network."""
        return [tensor.float().numpy() for tensor in _call(self.network, self.dtype, inputs)]


def rounded_otherwise(network: Network, precision: Precision, seed: int) -> Network:
    """``network`` with its weights shifted at random by half a rounding of ``precision``.

    A runtime that computes in that precision may round its weights so.
    """
    generator = torch.Generator().manual_seed(seed)
    other = network.twin(torch.float32)
    eps = EPS[precision]
    with torch.no_grad():
        for weight in other.parameters():
            sign = torch.randint(2, weight.shape, generator=generator) * 2 - 1
            weight.mul_(1 + sign * (eps / 2))
    return other


class Twin:
    """The float64 twin of a network, called like a runtime."""

    def __init__(self, network: Network) -> None:
        self.network = network.twin(torch.float64)

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of the network, its results in float64."""
        return [tensor.numpy() for tensor in _call(self.network, torch.float64, inputs)]

    def run(self, input: Input | Exact, state: Exact | State) -> tuple[Exact, Exact]:
        """One call of a built-in network, as :meth:`Runtime.run` is."""
        return results(self.call(feeds(input, state)), state)


def _call(network: Network, dtype: torch.dtype, inputs: Mapping[str, Array]) -> list[Tensor]:
    given = {name: torch.from_numpy(np.ascontiguousarray(y)) for name, y in inputs.items()}
    given = {name: y.to(dtype) if y.is_floating_point() else y for name, y in given.items()}
    state = given.get(STATE, network.zero_state(len(given[INPUT])))
    with torch.inference_mode():
        output, next_state = network(given[INPUT], state)
    return [output, next_state.contiguous()] if STATE in given else [output]
