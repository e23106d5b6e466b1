"""Sequences and batches in generated C, beside ONNX Runtime and OpenVINO in one process.

Every engine has one thread, and reads the same inputs from zero states.
"""

import ctypes
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.benchmark.compiling import c_compiler, compile_c
from pipeline.bundle.trial import random_network
from pipeline.cells import Cell
from pipeline.config import Record
from pipeline.contract.law import FLOAT32
from pipeline.contract.network import StoredNetwork
from pipeline.errors import ParityError
from pipeline.export import export
from pipeline.network_tensors import INPUT, STATE, state_rows
from pipeline.runtimes.onnx_runtime import open_session
from pipeline.runtimes.openvino import OpenVino
from pipeline.threads import session_options

BASIS = f"onnxruntime {onnxruntime.__version__}"  # what the others are compared with
_CELLS: tuple[Cell, ...] = ("lstm", "gru")
_INPUTS, _UNITS, _STEPS = 64, 256, 64
_BATCHES = (1, 16)
_ROUNDS = 40  # of each engine, in turns; the fastest counts, since other work only slows down
_SEED = 20_261_126

Floats = NDArray[np.float32]
Engine = Callable[[Floats], Floats]  # inputs [batch, time, features] to outputs [batch, time, 1]


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
    """Measure every cell at every batch; ``say`` what is done. OpenVINO may be absent.

    Raises:
        UnavailableError: there is no C compiler, or it fails.
        ParityError: an engine that computes in float32 gives other numbers than ONNX Runtime.
    """
    compiler = c_compiler()
    with tempfile.TemporaryDirectory(prefix="pipeline-sequences-") as folder:
        for cell in _CELLS:
            say(f"building {cell}")
            network = random_network("series", cell, _UNITS, 1, _SEED, features=_INPUTS)
            graph, _ = export(network, "sequence")
            engines = {
                BASIS: _onnx_runtime(graph),
                "generated C": _generated_c(network.stored(), compiler, Path(folder) / cell),
            }
            engines |= _openvino(graph)
            for batch in _BATCHES:
                yield from _measured(cell, batch, engines, say)


def _measured(
    cell: Cell, batch: int, engines: dict[str, Engine], say: Callable[[str], None]
) -> Iterator[SequenceTime]:
    shape = batch, _STEPS, _INPUTS
    inputs = np.random.default_rng(_SEED).normal(size=shape).astype(np.float32)
    expected = engines[BASIS](inputs)
    for name, engine in engines.items():
        if "default" not in name and not np.allclose(
            engine(inputs), expected, rtol=FLOAT32.rtol, atol=FLOAT32.atol
        ):
            raise ParityError(f"{cell} of {_UNITS} in {name} is not what ONNX Runtime gives")
    say(f"measuring {cell}, batch {batch}")
    fastest = dict.fromkeys(engines, np.inf)
    for _ in range(_ROUNDS):
        for name, engine in engines.items():
            engine(inputs)  # its weights are in the caches then, as they are in a stream
            start = time.perf_counter()
            engine(inputs)
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


def _onnx_runtime(graph: bytes) -> Engine:
    session = open_session(graph, "cpu", session_options())
    rows, units = session.get_inputs()[1].shape[1:]

    def call(inputs: Floats) -> Floats:
        state = np.zeros((len(inputs), rows, units), np.float32)
        output: Floats = session.run(None, {INPUT: inputs, STATE: state})[0]
        return output

    return call


def _openvino(graph: bytes) -> dict[str, Engine]:
    """In float32, and in the precision that it chooses itself where that is another."""
    if find_spec("openvino") is None:
        return {}
    found: dict[str, Engine] = {}
    for hint in ("f32", None):
        runtime = OpenVino(graph, hint)
        if hint or runtime.precision != "float32":
            found[runtime.name] = _of_openvino(runtime)
    return found


def _of_openvino(runtime: OpenVino) -> Engine:
    rows, units = runtime.compiled.input(1).partial_shape[1:]
    shape = rows.get_length(), units.get_length()

    def call(inputs: Floats) -> Floats:
        state = np.zeros((len(inputs), *shape), np.float32)
        output: Floats = runtime.call({INPUT: inputs, STATE: state})[0]
        return output

    return call


def _generated_c(network: StoredNetwork, compiler: str, home: Path) -> Engine:
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
