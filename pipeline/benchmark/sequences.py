"""Sequences and batches in generated C, beside runtimes for ONNX files in one process.

Every engine has one thread, and reads the same inputs from zero states.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime

from pipeline.benchmark.compiling import c_compiler
from pipeline.benchmark.sequence_engines import Engine, generated, installed, onnx_runtime
from pipeline.bundle.trial import random_network
from pipeline.cells import CELLS, ENTRIES, Cell
from pipeline.config import Record
from pipeline.contract.law import TOLERANCES
from pipeline.errors import ParityError
from pipeline.export import export

BASIS = f"onnxruntime {onnxruntime.__version__}"  # what the others are compared with
_CELLS = tuple(cell for cell in CELLS if ENTRIES[cell].is_gated)
_INPUTS, _UNITS, _STEPS = 64, 256, 64
_BATCHES = (1, 16)
_ROUNDS = 40  # of each engine, in turns; the fastest counts, since other work only slows down
_SEED = 20_261_126
_JUDGED = ("float32", "int16")  # errors of others grow along 64 steps of random weights


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
        ParityError: an engine gives other numbers than ONNX Runtime with the same weights.
    """
    compiler = c_compiler()
    with tempfile.TemporaryDirectory(prefix="pipeline-sequences-") as name:
        folder = Path(name)
        for cell in _CELLS:
            say(f"building {cell}")
            made = random_network("series", cell, _UNITS, 1, _SEED, features=_INPUTS)
            graph, _ = export(made, "sequence")
            network = made.stored()
            expected = onnx_runtime(graph, network)
            engines = {BASIS: Engine(expected, expected)}
            engines |= generated(graph, network, expected, compiler, folder / cell)
            engines |= installed(graph, network, expected)
            for batch in _BATCHES:
                yield from _measured(cell, batch, engines, say)


def _measured(
    cell: Cell, batch: int, engines: dict[str, Engine], say: Callable[[str], None]
) -> Iterator[SequenceTime]:
    shape = batch, _STEPS, _INPUTS
    inputs = np.random.default_rng(_SEED).normal(size=shape).astype(np.float32)
    for name, engine in engines.items():
        allowed = TOLERANCES[engine.precision]
        if engine.precision in _JUDGED and not np.allclose(
            engine.call(inputs), engine.expected(inputs), rtol=allowed.rtol, atol=allowed.atol
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
