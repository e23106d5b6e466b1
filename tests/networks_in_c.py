"""Networks written as C, built with every width of vectors and called from Python."""

import ctypes
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny import tool

from pipeline.config import CELLS, SeriesModel, TextModel
from pipeline.contract import Scaler
from pipeline.contract.law import FLOAT32
from pipeline.contract.samples import outside
from pipeline.contract.small_weights import SmallType
from pipeline.embed.c.source import write_c
from pipeline.model import Network
from pipeline.variants.rounding import rounded_to_nearest

PRESETS = [f"{task}-{cell}" for task in ("sine", "char") for cell in CELLS]


STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]


VOCABULARY = "zaé 🦊\n\0"  # not in order, up to four bytes


# Flags, and the flag of the processor that it takes: vectors of one, four, eight and sixteen
# numbers, and what the program chooses from when it runs.
BUILDS = {
    "chosen": ([], ""),
    "scalar": (["-DMODEL_PLAIN", "-U__SSE2__"], ""),
    "four": (["-DMODEL_PLAIN"], ""),
    "eight": (["-DMODEL_PLAIN", "-mavx2", "-mfma"], "avx2"),
    "sixteen": (["-DMODEL_PLAIN", "-mavx512f"], "avx512f"),
}


Floats = NDArray[np.float32]


def run(arguments: Sequence[str], folder: Path, **options: Any) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        arguments, cwd=folder, capture_output=True, text=True, timeout=120, check=False, **options
    )
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return str(done.stdout)


def can_run(build: str) -> bool:
    needed = BUILDS[build][1]
    info = Path("/proc/cpuinfo")
    words = info.read_text().split() if info.exists() else []
    machine = os.uname().machine
    return build == "chosen" or (machine == "x86_64" and (not needed or needed in words))


def network(
    cell: str = "lstm", hidden: int = 5, text: bool = False, seed: int = 0, **options: Any
) -> Network:
    torch.manual_seed(seed)
    sizes = {"cell": cell, "hidden_size": hidden, **options}
    if text:
        config = TextModel.model_validate(sizes | {"embedding_size": 3})
        return Network(config, vocabulary=VOCABULARY).eval()
    series = SeriesModel.model_validate({"features": 2, "targets": 2} | sizes)
    rng = np.random.default_rng(seed)
    numbers = {
        f"{side}_{name}": tuple(map(float, rng.uniform(0.5, 2, width)))
        for side, width in (("input", series.features), ("output", series.targets))
        for name in ("mean", "std")
    }
    return Network(series, scaler=Scaler(**numbers)).eval()


def written(
    folder: Path, network: Network, name: str = "net", small: SmallType | None = None
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stored = network.stored()
    if small:  # of a network that rounded() made
        stored = replace(stored, small=rounded_to_nearest(stored.weights, small))
    for file, data in write_c(stored, name, "0" * 64).items():
        (folder / file).write_bytes(data)
    return folder


class InC:
    """A network compiled to a shared library, called as PyTorch's is."""

    numbers = count()

    def __init__(
        self,
        network: Network,
        root: Path,
        build: str = "chosen",
        compiler: str = "gcc",
        flags: Sequence[str] = ("-O1",),
        small: SmallType | None = None,
    ) -> None:
        folder = written(root / str(next(self.numbers)), network, small=small)
        flags = [*STRICT, *flags, *BUILDS[build][0], "-shared", "-fPIC"]
        run([tool(compiler), *flags, "-o", "net.so", "model.c"], folder)
        self.library = ctypes.CDLL(str(folder / "net.so"))
        self.tensors, self.is_text = network.tensors, network.vocabulary is not None

    def __call__(self, inputs: Any, state: Floats) -> tuple[Floats, Floats]:
        following = state.copy()
        output = np.empty((*inputs.shape[:2], self.tensors.output.shape[2]), np.float32)
        for stream, rows in enumerate(following):
            given_here = np.ascontiguousarray(inputs[stream])
            pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (rows, given_here)]
            place = output[stream].ctypes.data_as(ctypes.c_void_p)
            self.library.net_run(*pointers, place, ctypes.c_size_t(inputs.shape[1]))
        return output, following

    def batch(self, inputs: Any, state: Floats) -> tuple[Floats, Floats]:
        """The same, all streams in one call."""
        following = state.copy()
        output = np.empty((*inputs.shape[:2], self.tensors.output.shape[2]), np.float32)
        arrays = following, np.ascontiguousarray(inputs), output
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in arrays]
        batch, time = inputs.shape[:2]
        self.library.net_run_batch(*pointers, ctypes.c_size_t(time), ctypes.c_size_t(batch))
        return output, following


def sequences(network: Network, batch: int = 2, time: int = 6) -> tuple[Any, Floats]:
    """Inputs, some of them strange, and a state that is not zero, with noise where it is unused."""
    rng = np.random.default_rng(1)
    state = rng.uniform(-1, 1, network.zero_state(batch).shape).astype(np.float32)
    if network.vocabulary is None:
        width = network.tensors.input.shape[2]
        assert isinstance(width, int)
        values = rng.normal(size=(batch, time, width)).astype(np.float32)
        return outside(values, None), state
    points = np.array([ord(c) for c in VOCABULARY])
    return outside(rng.choice(points, (batch, time)), VOCABULARY), state


def assert_pytorchs(in_c: Callable[..., tuple[Floats, Floats]], network: Network) -> None:
    inputs, state = sequences(network)
    with torch.inference_mode():
        exact = torch.from_numpy(inputs)
        exact = exact.double() if exact.is_floating_point() else exact
        twin = network.twin(torch.float64)
        expected = twin(exact, torch.from_numpy(state).double())
    for found, right in zip(in_c(inputs, state), expected, strict=True):
        np.testing.assert_allclose(found, right.numpy(), rtol=FLOAT32.rtol, atol=FLOAT32.atol)


kinds = st.fixed_dictionaries(
    {
        "cell": st.sampled_from(CELLS),
        "hidden": st.sampled_from([1, 3, 4, 5, 7, 8, 9, 12, 16, 17, 20, 31, 32]),
        "text": st.booleans(),
        "num_layers": st.integers(1, 3),
        "bias": st.booleans(),
        "seed": st.integers(0, 9),
    },
    optional={"own": st.just(True)},
)


def assert_same(found: Sequence[Floats], expected: Sequence[Floats]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
