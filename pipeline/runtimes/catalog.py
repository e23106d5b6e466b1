"""Which runtimes there are, and which of them can run here."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import torch

from pipeline.bundle import Bundle
from pipeline.bundle.write import ONNX_FILE, TORCHSCRIPT_FILE
from pipeline.errors import PipelineError, UnavailableError, UsageError, unknown
from pipeline.runtimes.base import Absent, Refused, Runtime, package_version
from pipeline.runtimes.onnx_runtime import OnnxRuntime, why_absent
from pipeline.runtimes.openvino import OpenVino
from pipeline.runtimes.pytorch import PyTorch
from pipeline.runtimes.reference import Reference
from pipeline.runtimes.torchscript import TorchScript
from pipeline.runtimes.tract import Tract

PROVIDERS = ("cpu", "cuda")


@dataclass(frozen=True)
class Kind:
    """A runtime, and how to open a bundle with it; each thing opened is a row of its own.

    An ``optional`` one comes with the extra that is called as its package.
    """

    format: str
    package: str
    open: Callable[[Bundle, str], Iterable[Runtime]]
    providers: tuple[str, ...] = ("cpu",)
    optional: bool = False


RUNTIMES = {
    "pytorch": Kind("PyTorch", "torch", lambda bundle, _: [PyTorch(bundle.network())]),
    "torchscript": Kind(
        "TorchScript",
        "torch",
        lambda bundle, provider: [TorchScript(bundle.read(TORCHSCRIPT_FILE), provider)],
        PROVIDERS,
    ),
    "onnxruntime": Kind(
        "ONNX",
        "onnxruntime",
        lambda bundle, provider: [OnnxRuntime(bundle.read(ONNX_FILE), provider)],
        PROVIDERS,
    ),
    "reference": Kind("ONNX", "onnx", lambda bundle, _: [Reference(bundle.read(ONNX_FILE))]),
    "openvino": Kind(
        "ONNX",
        "openvino",
        lambda bundle, _: [OpenVino(bundle.read(ONNX_FILE), hint) for hint in (None, "f32")],
        optional=True,
    ),
    "tract": Kind(
        "ONNX", "tract", lambda bundle, _: [Tract(bundle.read(ONNX_FILE))], optional=True
    ),
}
ALL = tuple(RUNTIMES)
DEFAULT = ("pytorch", "torchscript", "onnxruntime")  # what the main job proves


def require(providers: tuple[str, ...], runtimes: tuple[str, ...] = ()) -> None:
    """Make sure that every provider and runtime asked for by name can be used.

    Raises:
        UsageError: there is none of that name, or the runtime knows none of the providers.
        UnavailableError: it is not on this machine, or not in this build.
    """
    for name in runtimes:
        if name not in RUNTIMES:
            raise unknown("runtime", name, RUNTIMES)
    for provider in providers:
        if provider not in PROVIDERS:
            raise unknown("provider", provider, PROVIDERS)
    for name in runtimes:
        known = RUNTIMES[name].providers
        if providers and not set(providers) & set(known):
            raise UsageError(f"runtime '{name}' runs on {', '.join(known)} and nowhere else")
        if reason := _why_absent(RUNTIMES[name], known[0]):
            raise UnavailableError(f"runtime '{name}' is not there: {reason}")
    for provider in providers:
        for name in reversed(runtimes or ALL):  # ONNX Runtime first: it knows what to install
            kind = RUNTIMES[name]
            reason = None if kind.optional else _why_absent(kind, provider)
            if reason and provider in kind.providers:
                raise UnavailableError(f"provider '{provider}' is not there: {reason}")


def _why_absent(kind: Kind, provider: str) -> str | None:
    if kind.optional and find_spec(kind.package) is None:
        return f"it is not installed; run pip install 'pipeline[{kind.package}]'"
    reason = why_absent(provider) if kind.package == "onnxruntime" else None
    if reason is None and provider == "cuda" and not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no CUDA device; check the driver with nvidia-smi"
    return reason


def optional_versions(runtimes: Iterable[str]) -> dict[str, str]:
    """The versions of those optional runtimes that are installed."""
    kinds = [RUNTIMES[name] for name in runtimes if RUNTIMES[name].optional]
    return {
        kind.package: package_version(kind.package)
        for kind in kinds
        if _why_absent(kind, "cpu") is None
    }


def open_runtimes(
    bundle: Bundle, providers: tuple[str, ...], runtimes: tuple[str, ...] = ALL
) -> Iterator[Runtime | Absent]:
    """Each runtime on each of its providers, or why it is absent or could not be opened.

    Raises:
        IntegrityError: a model file was changed.
    """
    for kind in (RUNTIMES[name] for name in runtimes):
        for provider in (provider for provider in providers if provider in kind.providers):
            where = (kind.format, kind.package, provider)
            try:
                if reason := _why_absent(kind, provider):
                    raise UnavailableError(reason)
                yield from kind.open(bundle, provider)
            except (UnavailableError, ImportError) as error:
                yield Absent(*where, str(error))
            except PipelineError:
                raise
            except Exception as error:
                yield Refused(*where, describe_error(error))


def describe_error(error: Exception) -> str:
    """An error of a runtime on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
