"""Sequences and batches in generated C, beside runtimes for ONNX files in one process.

Every engine has one thread, and reads the same inputs from zero states.
"""

import ctypes
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.benchmark.compiling import c_compiler, compile_c
from pipeline.bundle.trial import random_network
from pipeline.cells import CELLS, ENTRIES, Cell
from pipeline.config import Record
from pipeline.contract.files import ONNX_FILE
from pipeline.contract.law import FLOAT32, Array, Precision
from pipeline.contract.network import StoredNetwork
from pipeline.errors import ParityError
from pipeline.export import export
from pipeline.network_tensors import state_rows
from pipeline.runtimes.base import Runtime, feeds
from pipeline.runtimes.catalog import RUNTIMES
from pipeline.runtimes.onnx_runtime import open_session
from pipeline.threads import session_options

BASIS = f"onnxruntime {onnxruntime.__version__}"  # what the others are compared with
_CELLS = tuple(cell for cell in CELLS if ENTRIES[cell].is_gated)
_INPUTS, _UNITS, _STEPS = 64, 256, 64
_BATCHES = (1, 16)
_ROUNDS = 40  # of each engine, in turns; the fastest counts, since other work only slows down
_SEED = 20_261_126

Floats = NDArray[np.float32]
Call = Callable[[Floats], Array]  # inputs [batch, time, features] to outputs [batch, time, 1]


class Engine(NamedTuple):
    """A call of a network on zero states, and the precision that it computes in."""

    call: Call
    precision: Precision = "float32"


class SequenceTime(Record):
    """Microseconds of one call of an engine, and of ONNX Runtime on the same inputs."""

    cell: Cell
    inputs: int
    units: int
    steps: int
    batch: int
    engine: str
    microseconds: float
    onnxruntime: float

    @property
    def ratio(self) -> float:
        """The time of the engine as a share of that of ONNX Runtime."""
        return self.microseconds / self.onnxruntime


def measure_sequences(say: Callable[[str], None]) -> Iterator[SequenceTime]:
    """Measure every cell at every batch; ``say`` what is done.

    Runtimes that are optional take part where they are installed.

    Raises:
        UnavailableError: there is no C compiler, or it fails.
        ParityError: an engine that computes in float32 gives other numbers than ONNX Runtime.
    """
    compiler = c_compiler()
    with tempfile.TemporaryDirectory(prefix="pipeline-sequences-") as name:
        folder = Path(name)
        for cell in _CELLS:
            say(f"building {cell}")
            network = random_network("series", cell, _UNITS, 1, _SEED, features=_INPUTS)
            graph, _ = export(network, "sequence")
            rows = len(state_rows(network.config))
            engines = {
                BASIS: Engine(_onnx_runtime(graph, (rows, _UNITS))),
                "generated C": Engine(_generated_c(network.stored(), compiler, folder / cell)),
            }
            engines |= _installed(graph, (rows, _UNITS))
            for batch in _BATCHES:
                yield from _measured(cell, batch, engines, say)


def _measured(
    cell: Cell, batch: int, engines: dict[str, Engine], say: Callable[[str], None]
) -> Iterator[SequenceTime]:
    shape = batch, _STEPS, _INPUTS
    inputs = np.random.default_rng(_SEED).normal(size=shape).astype(np.float32)
    expected = engines[BASIS].call(inputs)
    for name, engine in engines.items():
        if engine.precision == "float32" and not np.allclose(
            engine.call(inputs), expected, rtol=FLOAT32.rtol, atol=FLOAT32.atol
        ):
            raise ParityError(f"{cell} of {_UNITS} in {name} is not what ONNX Runtime gives")
    say(f"measuring {cell}, batch {batch}")
    fastest = dict.fromkeys(engines, np.inf)
    for _ in range(_ROUNDS):
        for name, engine in engines.items():
            engine.call(inputs)  # its weights are in the caches then, as they are in a stream
            start = time.perf_counter()
            engine.call(inputs)
            fastest[name] = min(fastest[name], (time.perf_counter() - start) * 1e6)
    for name, found in fastest.items():
        yield SequenceTime(
            cell=cell,
            inputs=_INPUTS,
            units=_UNITS,
            steps=_STEPS,
            batch=batch,
            engine=name,
            microseconds=found,
            onnxruntime=fastest[BASIS],
        )


def _onnx_runtime(graph: bytes, state: tuple[int, int]) -> Call:
    session = open_session(graph, "cpu", session_options())
    return lambda inputs: session.run(None, _from_zeros(inputs, state))[0]


def _installed(graph: bytes, state: tuple[int, int]) -> dict[str, Engine]:
    """The optional runtimes for ONNX files that are installed, once for each precision."""
    found: dict[str, Engine] = {}
    for kind in RUNTIMES.values():
        if kind.file != ONNX_FILE or not kind.optional or find_spec(kind.package) is None:
            continue
        precisions = {
            runtime.precision: runtime
            for runtime in (opener() for opener in kind.openers(graph, "cpu"))
        }
        for precision, runtime in precisions.items():
            found[runtime.name] = Engine(_of_runtime(runtime, state), precision)
    return found


def _of_runtime(runtime: Runtime, state: tuple[int, int]) -> Call:
    return lambda inputs: runtime.call(_from_zeros(inputs, state))[0]


def _from_zeros(inputs: Floats, state: tuple[int, int]) -> dict[str, Array]:
    return feeds(inputs, np.zeros((len(inputs), *state), np.float32))


def _generated_c(network: StoredNetwork, compiler: str, home: Path) -> Call:
    library = ctypes.CDLL(str(compile_c(network, "net", home, [compiler, "-shared", "-fPIC"], [])))
    outputs = len(network.weights["head.bias"])
    size = network.config.hidden_size * len(state_rows(network.config))

    def call(inputs: Floats) -> Floats:
        batch, steps = inputs.shape[:2]
        arrays = (
            np.zeros((batch, size), np.float32),
            inputs,
            np.empty((batch, steps, outputs), np.float32),
        )
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in arrays]
        library.net_run_batch(*pointers, ctypes.c_size_t(steps), ctypes.c_size_t(batch))
        return arrays[-1]

    return call
