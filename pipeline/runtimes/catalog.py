"""Which runtimes there are, and which of them can run here."""

from collections.abc import Iterator

import torch

from pipeline.bundle import Bundle
from pipeline.bundle.write import ONNX_FILE, TORCHSCRIPT_FILE
from pipeline.errors import UnavailableError, unknown
from pipeline.runtimes.base import Absent, Runtime
from pipeline.runtimes.onnx_runtime import OnnxRuntime, why_absent
from pipeline.runtimes.pytorch import PyTorch
from pipeline.runtimes.torchscript import TorchScript

PROVIDERS = ("cpu", "cuda")


def require(providers: tuple[str, ...]) -> None:
    """Make sure that every provider asked for by name can be used.

    Raises:
        UsageError: there is no provider of that name.
        UnavailableError: it is not on this machine, or not in this build.
    """
    for provider in providers:
        if provider not in PROVIDERS:
            raise unknown("provider", provider, PROVIDERS)
        reason = _why_absent(provider)
        if reason:
            raise UnavailableError(f"provider '{provider}' is not there: {reason}")


def _why_absent(provider: str) -> str | None:
    reason = why_absent(provider)
    if reason is None and provider == "cuda" and not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no CUDA device; check the driver with nvidia-smi"
    return reason


def open_runtimes(bundle: Bundle, providers: tuple[str, ...]) -> Iterator[Runtime | Absent]:
    """PyTorch, and TorchScript and ONNX Runtime on every provider, or why they are absent.

    Raises:
        IntegrityError: a model file was changed.
    """
    if "cpu" in providers:
        yield PyTorch(bundle.network())
    for provider in providers:
        if provider == "cuda" and not torch.cuda.is_available():
            torch_name = f"torch {torch.__version__}"
            yield Absent("TorchScript", torch_name, provider, f"{torch_name} finds no CUDA device")
        else:
            yield TorchScript(bundle.read(TORCHSCRIPT_FILE), provider)
    for provider in providers:
        reason = _why_absent(provider)
        try:
            if reason:
                raise UnavailableError(reason)
            yield OnnxRuntime(bundle.read(ONNX_FILE), provider)
        except UnavailableError as error:
            yield Absent("ONNX", "onnxruntime", provider, str(error))
