"""Eager PyTorch: a module as it was trained, or computed in a precision below float32."""

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from pipeline.contract.law import EPS, Array, Precision
from pipeline.runtimes.base import Runtime

# PyTorch has no TF32 on the CPU; float32 with weights rounded to TF32 takes its place.
_DTYPE: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


class PyTorch(Runtime):
    """A module as it was trained, on the CPU, or a copy that computes in less than float32."""

    format = "PyTorch"
    provider = home = "cpu"
    name = f"PyTorch {torch.__version__}"

    def __init__(self, module: nn.Module, precision: Precision = "float32") -> None:
        self.precision = precision
        self.dtype = _DTYPE[precision]
        self.eps = torch.finfo(self.dtype).eps  # rounding of a number near one
        self.module = module.eval() if precision == "float32" else copied(module, self.dtype)

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of the module, its results in float32."""
        given = [torch.from_numpy(np.ascontiguousarray(array)) for array in inputs.values()]
        given = [y.to(self.dtype) if y.is_floating_point() else y for y in given]
        with torch.inference_mode():
            found = self.module(*given)
        tensors = found if isinstance(found, tuple) else (found,)
        return [tensor.float().contiguous().numpy() for tensor in tensors]


def copied(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy of ``module`` that computes in ``dtype``, ready to use."""
    return copy.deepcopy(module).to(dtype).eval()


def rounded_otherwise(module: nn.Module, precision: Precision, seed: int) -> nn.Module:
    """``module`` with its weights shifted at random by half a rounding of ``precision``.

    A runtime that computes in that precision may round its weights so.
    """
    generator = torch.Generator().manual_seed(seed)
    other = copied(module, torch.float32)
    eps = EPS[precision]
    with torch.no_grad():
        for weight in other.parameters():
            sign = torch.randint(2, weight.shape, generator=generator) * 2 - 1
            weight.mul_(1 + sign * (eps / 2))
    return other
