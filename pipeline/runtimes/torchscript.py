"""TorchScript, loaded from the bytes of ``model.pt``."""

import io
import re
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

from pipeline.contract.files import TORCHSCRIPT_FILE
from pipeline.contract.law import Array
from pipeline.network_tensors import HISTORY, PROMPT
from pipeline.runtimes.base import Runtime
from pipeline.runtimes.kind import PROVIDERS, Kind

_SETS = re.compile(r'prim::SetAttr\[name="(\w+)"\]')
OF_TENSORS = "forward_of_tensors"
"""The method of a file that takes the tensors alone, where ``forward`` takes more than these."""


class TorchScript(Runtime):
    """A traced network on a PyTorch device."""

    format = "TorchScript"

    def __init__(self, file: bytes, device: str = "cpu") -> None:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit warns that it is deprecated
            self.module = torch.jit.load(io.BytesIO(file), map_location=device)
        self.provider = self.home = device
        self.name = f"TorchScript {torch.__version__}"

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of the method that takes ``inputs``: the network itself, or the loop."""
        import torch

        method = "generate" if PROMPT in inputs else "forecast" if HISTORY in inputs else "forward"
        given = [
            torch.from_numpy(array).to(self.provider) if array.shape else array.item()
            for array in inputs.values()
        ]
        # TF32 keeps 10 bits of the mantissa; parity is measured without it.
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            found = getattr(self.module, method)(*given)
        tensors = found if isinstance(found, tuple) else (found,)
        return [tensor.cpu().contiguous().numpy() for tensor in tensors]


def kept_attributes(module: Any) -> tuple[str, ...]:
    """The attributes of a TorchScript module that a call sets: what it keeps from call to call."""
    if not module._c._has_method("forward"):
        return ()
    return tuple(sorted(set(_SETS.findall(str(module.inlined_graph)))))


KIND = Kind(
    name="torchscript",
    format=TorchScript.format,
    package="torch",
    file=TORCHSCRIPT_FILE,
    openers=lambda file, provider: [partial(TorchScript, file, provider)],
    help="TorchScript, on the CPU and on CUDA",
    limits="It is code, and runs only where that is trusted",
    providers=lambda: PROVIDERS,
    runs_code=True,
    has_loops=True,
)
