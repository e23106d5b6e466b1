"""One step of generated C beside ONNX Runtime from Python and RTNeural, on networks of one size.

The C has float32, float16 and int8 weights, and computes in integers with the last.

Every network has a recurrent layer that reads as many numbers as it has units, and a head of one
output: what RTNeural measures itself by. Its source is a clone of
https://github.com/jatinchowdhury18/RTNeural.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime

from pipeline.benchmark.compiling import (
    FARTHEST,
    PROGRAMS,
    c_compiler,
    compile_c,
    compiled,
    ran,
    rounded,
)
from pipeline.bundle.trial import random_network
from pipeline.cells import CELLS, ENTRIES, Cell
from pipeline.config import Record
from pipeline.embed.c.source import write_c
from pipeline.embed.c_integer.network import IntegerNetwork
from pipeline.embed.c_integer.source import write_integer_c
from pipeline.errors import UnavailableError
from pipeline.export import export
from pipeline.network_tensors import INPUT, STATE
from pipeline.runtimes.onnx_runtime import one_thread_session

_CELLS = tuple(cell for cell in CELLS if ENTRIES[cell].is_gated)  # RTNeural has no others
_SIZES = (16, 32, 64)
_ROUNDS = 5  # of each engine, in turns; the fastest counts, since other work only slows down
_STEPS = 2000  # of a round of ONNX Runtime
_C_ARGUMENTS = ("400", "2048")  # rounds and steps of the program of a network in C
_SEED = 20_261_124

# The fastest of these counts. Debian's Eigen and xsimd, or those that RTNeural brings.
_RTNEURAL = ("-std=c++17", "-O3", "-march=native", "-DNDEBUG", "-w")
_BACKENDS = (
    ("-DRTNEURAL_USE_EIGEN=1", "-DRTNEURAL_DEFAULT_ALIGNMENT=64"),
    ("-DRTNEURAL_USE_XSIMD=1", "-DRTNEURAL_DEFAULT_ALIGNMENT=64"),
)
_MATHS: tuple[tuple[str, ...], ...] = ((), ("-ffast-math",))


class EngineTime(Record):
    """Microseconds of one step, batch 1; ``rtneural`` is None if it was not measured.

    ``weights`` are those of the generated C; the others have float32.
    """

    cell: Cell
    size: int
    weights: str
    c: float
    onnxruntime: float
    rtneural: float | None

    @property
    def onnxruntime_ratio(self) -> float:
        """The time of ONNX Runtime, called from Python, divided by that of the generated C."""
        return self.onnxruntime / self.c

    @property
    def rtneural_ratio(self) -> float | None:
        """The time of RTNeural divided by that of the generated C."""
        return None if self.rtneural is None else self.rtneural / self.c


def measure_engines(rtneural: Path | None, say: Callable[[str], None]) -> Iterator[EngineTime]:
    """Measure the networks of all sizes; ``say`` what is done.

    Raises:
        UnavailableError: there is no C compiler, or the source of RTNeural cannot be built.
    """
    compiler = c_compiler()
    with tempfile.TemporaryDirectory(prefix="pipeline-engines-") as name:
        folder = Path(name)
        programs = [] if rtneural is None else list(_build_rtneural(rtneural, folder, say))
        subjects = {(cell, size): _subject(cell, size) for cell in _CELLS for size in _SIZES}
        fastest: dict[tuple[str, str, int], float] = {}

        def keep(engine: str, cell: str, size: int, microseconds: float) -> None:
            key = engine, cell, size
            fastest[key] = min(microseconds, fastest.get(key, microseconds))

        built = {
            (weights, *key): compile_c(
                files,
                "step",
                folder / "-".join(map(str, (weights, *key))),
                [compiler],
                ["c_step.c"],
            )
            for key, subject in subjects.items()
            for weights, files in subject.sources.items()
        }
        sessions = {key: one_thread_session(subject.graph) for key, subject in subjects.items()}
        for number in range(1, _ROUNDS + 1):
            say(f"measuring, round {number} of {_ROUNDS}")
            for key, session in sessions.items():
                keep("onnxruntime", *key, _step(session, key[1]))
            for index in range(max(1, len(programs))):  # as many tries for one as for the other
                for place, program in built.items():
                    keep(*place, float(ran([_copy(program), *_C_ARGUMENTS]).stdout) / 1000)
                lines = ran([_copy(programs[index])]).stdout.splitlines() if programs else []
                for found in map(json.loads, lines):
                    keep("rtneural", found["cell"], found["size"], found["microseconds_per_step"])
        for weights, cell, size in built:
            yield EngineTime(
                cell=cell,
                size=size,
                weights=weights,
                c=fastest[weights, cell, size],
                onnxruntime=fastest["onnxruntime", cell, size],
                rtneural=fastest.get(("rtneural", cell, size)),
            )


class _Subject(NamedTuple):
    """A network that is measured: its ONNX file, and files of generated C by their weights."""

    graph: bytes
    sources: dict[str, dict[str, bytes]]


def _subject(cell: Cell, size: int) -> _Subject:
    network = random_network("series", cell, size, 1, _SEED, features=size)
    graph, _ = export(network, "engine")
    stored = network.stored()
    int8 = rounded(stored, "int8")
    networks = {"float32": stored, "float16": rounded(stored, "float16"), "int8": int8}
    sources = {weights: write_c(found, "step", "none") for weights, found in networks.items()}
    integers = IntegerNetwork("step", int8, FARTHEST)
    return _Subject(graph, sources | {"int8, integers": write_integer_c(integers, "none")})


def _step(session: onnxruntime.InferenceSession, size: int) -> float:
    rows = session.get_inputs()[1].shape[1]
    feeds = {
        INPUT: np.zeros((1, 1, size), np.float32),
        STATE: np.zeros((1, rows, size), np.float32),
    }
    start = time.perf_counter()
    for _ in range(_STEPS):
        _, feeds[STATE] = session.run(None, feeds)
    return (time.perf_counter() - start) / _STEPS * 1e6


def _build_rtneural(source: Path, folder: Path, say: Callable[[str], None]) -> Iterator[Path]:
    modules = source / "modules"
    includes = [source, modules / "Eigen", modules / "xsimd/include", "/usr/include/eigen3"]
    trouble = ""
    built = 0
    for backend in _BACKENDS:
        for maths in _MATHS:
            say(f"building RTNeural {' '.join((*backend, *maths))}")
            words = ["c++", *_RTNEURAL, *backend, *maths, *(f"-I{path}" for path in includes)]
            target = folder / f"rtneural-{built}"
            try:
                yield compiled(words, [PROGRAMS / "rtneural_step.cpp"], target)
            except UnavailableError as error:  # one of the backends is not installed
                trouble = str(error)
                continue
            built += 1
    if not built:
        raise UnavailableError(f"RTNeural in {source} cannot be built: {trouble}")


def _copy(program: Path) -> str:
    """Copy a program, since the place of its pages in memory changes its time by up to a fifth."""
    copy = program.with_name(f"{program.name}-copy")
    copy.unlink(missing_ok=True)
    return str(shutil.copy(program, copy))
