"""ONNX Runtime on one execution provider, with its profile of where nodes ran."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.cells import BY_OPERATOR
from pipeline.contract.files import ONNX_FILE
from pipeline.contract.law import Array
from pipeline.errors import MalformedError, PipelineError, UnavailableError, one_line
from pipeline.runtimes.base import Runtime
from pipeline.runtimes.kind import Kind, Opener
from pipeline.threads import session_options, weights_in

if TYPE_CHECKING:
    import onnxruntime

EXECUTION_PROVIDER = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_REMOTE = "AzureExecutionProvider"  # sends its inputs to a server; it runs no node here


_FLOATS = {"float": "float32", "double": "float64"}  # ONNX Runtime's names, and NumPy's


class OnnxRuntime(Runtime):
    """A session on one provider; nodes that the provider cannot run fall back to the CPU.

    On CUDA, ``as_it_comes`` leaves TF32 on, which keeps 10 bits of the mantissa.
    """

    format = "ONNX"

    def __init__(self, file: bytes, provider: str, as_it_comes: bool = False) -> None:
        self.file = file
        self.provider = provider
        self.home = execution_providers()[provider]
        self.name = _name()
        if as_it_comes and provider == "cuda":
            self.name += ", default"
            self.precision = "tf32"
            self.note = "computes in tf32 where the GPU can, unless use_tf32=0 is set"
        self.session = open_session(file, provider, tf32=self.precision == "tf32")
        self._first: dict[str, Array] = {}  # the inputs of the first call

    def call(self, inputs: Mapping[str, Array], /) -> list[Array]:
        """One call of the graph."""
        self._first = self._first or dict(inputs)
        found: list[Array] = self.session.run(None, dict(inputs))
        return found

    def placement(self) -> dict[str, str]:
        """Where each recurrent node ran, from the profile of one call in a session of its own.

        It is the first call once more, since a graph may not run at size 1; or else one of ones.
        """
        if self._first:
            return node_placement(self.file, self.provider, self._first)
        ones = {}
        for argument in self.session.get_inputs():
            shape = [axis if isinstance(axis, int) else 1 for axis in argument.shape]
            kind = argument.type.removeprefix("tensor(").removesuffix(")")
            ones[argument.name] = np.ones(shape, _FLOATS.get(kind, kind))
        return node_placement(self.file, self.provider, ones)


@contextmanager
def graph_errors(path: Path) -> Iterator[None]:
    """Turn errors of loading and running the graph at ``path`` into a MalformedError of one line.

    Raises:
        MalformedError: the graph cannot be loaded or run, or its outputs break its contract.
    """
    try:
        yield
    except (PipelineError, MemoryError):
        raise
    except Exception as error:  # the errors of ONNX Runtime have no common class
        raise MalformedError(
            f"{path} cannot be run ({one_line(error)}); 'pipeline validate' says more"
        ) from error


def execution_providers() -> dict[str, str]:
    """ONNX Runtime's names of its providers, by ours: cpu, cuda, and others that this build has."""
    import onnxruntime

    further = set(onnxruntime.get_available_providers()) - {*EXECUTION_PROVIDER.values(), _REMOTE}
    named = {name.removesuffix("ExecutionProvider").lower(): name for name in sorted(further)}
    return EXECUTION_PROVIDER | named


def open_session(
    file: bytes,
    provider: str,
    options: "onnxruntime.SessionOptions | None" = None,
    tf32: bool = False,
) -> "onnxruntime.InferenceSession":
    """A session on ``provider``, with the CPU as fallback; large models get more threads.

    Raises:
        UnavailableError: the provider is in this build and cannot be started.
    """
    import onnxruntime

    options = options or session_options(weights_in(file))
    home = execution_providers()[provider]
    providers: list[Any] = [(home, {"use_tf32": int(tf32)} if provider == "cuda" else {})]
    if provider != "cpu":
        onnxruntime.preload_dlls()  # the CUDA libraries that PyTorch installs
        providers.append(EXECUTION_PROVIDER["cpu"])
    session = onnxruntime.InferenceSession(file, options, providers)
    if home not in session.get_providers():  # ONNX Runtime falls back silently
        raise UnavailableError(
            f"{_name()} has {home} and cannot start it; look for missing CUDA or cuDNN "
            "libraries with onnxruntime.print_debug_info()"
        )
    return session


def one_thread_session(file: bytes) -> "onnxruntime.InferenceSession":
    """A session on the CPU with one thread, for single steps, which more threads slow down."""
    options = session_options()
    options.enable_cpu_mem_arena = False  # for tensors this small, malloc is faster
    return open_session(file, "cpu", options)


def node_placement(file: bytes, provider: str, feeds: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """The provider of each recurrent node in one call, from ONNX Runtime's profile."""
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(weights_in(file))
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = open_session(file, provider, options)
        session.run(None, dict(feeds))
        events = json.loads(Path(session.end_profiling()).read_text())
    return {
        event["name"].removesuffix("_kernel_time"): event["args"]["provider"]
        for event in events
        if event.get("cat") == "Node" and event["args"].get("op_name") in BY_OPERATOR
    }


def why_absent(provider: str) -> str | None:
    """The reason why this build cannot use ``provider``, and what to do; None if it can."""
    import onnxruntime

    name = execution_providers()[provider]
    if name in onnxruntime.get_available_providers():
        return None
    how = "run 'make EXTRA=gpu' on a machine with an NVIDIA GPU"
    return f"{_name()} was built without {name}; {how}"


def _name() -> str:
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__}"


def _openers(file: bytes, provider: str) -> Sequence[Opener]:
    openers = [partial(OnnxRuntime, file, provider)]
    if provider == "cuda":
        openers.append(partial(OnnxRuntime, file, provider, as_it_comes=True))
    return openers


KIND = Kind(
    name="onnxruntime",
    format=OnnxRuntime.format,
    package="onnxruntime",
    file=ONNX_FILE,
    openers=_openers,
    help="ONNX Runtime, on the CPU, on CUDA, and on whatever else its build offers",
    limits="Its default on CUDA is TF32, which has a row of its own",
    providers=execution_providers,
    why_absent=why_absent,
    extras=("cpu", "gpu"),
)
