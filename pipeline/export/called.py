"""A PyTorch module, eager or TorchScript, called by the tensors of its contract."""

from collections.abc import Mapping

import torch
from torch import nn

from pipeline.contract.law import Array


class Called:
    """A module as the engine of verification calls it, on the CPU.

    Inputs are given in the order of the contract, floats in the type ``dtype`` where it is set.
    Outputs are returned in the order in which the module gives them.
    """

    def __init__(self, module: nn.Module, dtype: torch.dtype | None = None) -> None:
        self.module, self.dtype = module, dtype

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of the module."""
        given = [torch.from_numpy(array.copy()) for array in inputs.values()]
        if self.dtype is not None:
            given = [y.to(self.dtype) if y.is_floating_point() else y for y in given]
        with torch.no_grad():
            found = self.module(*given)
        tensors = found if isinstance(found, tuple | list) else (found,)
        return [tensor.detach().contiguous().numpy().copy() for tensor in tensors]
