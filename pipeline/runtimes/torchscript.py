"""TorchScript, loaded from the bytes of ``model.pt``."""

import io
import warnings

import torch

from pipeline.runtimes.base import Input, Runtime, State, feeds, results


class TorchScript(Runtime):
    """A traced network on a PyTorch device."""

    format = "TorchScript"

    def __init__(self, file: bytes, device: str = "cpu") -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit is deprecated, and what is asked for
            self.module = torch.jit.load(io.BytesIO(file), map_location=device)
        self.provider = self.home = device
        self.name = f"TorchScript {torch.__version__}"

    def run(self, input: Input, state: State) -> tuple[State, State]:
        """One call of the contract."""
        # TF32 keeps 10 bits of the mantissa; parity is measured without it.
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            given = feeds(input, state).values()
            found = self.module(*(torch.from_numpy(array).to(self.provider) for array in given))
        tensors = found if isinstance(found, tuple) else (found,)
        return results([tensor.cpu().contiguous().numpy() for tensor in tensors], state)
