"""The network in C and in integers: every bit that of its model in Python, on every processor."""

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_in_c import STRICT, can_run, network
from numpy.typing import NDArray
from tiny import tool

from pipeline.cells.fixed_point import OUTPUT_BITS, PART_BITS, STATE_BITS, FixedPoint, Integers
from pipeline.config import CELLS
from pipeline.contract.law import LESS_THAN_FLOAT32
from pipeline.embed.c_integer.network import IntegerNetwork
from pipeline.embed.c_integer.source import write_integer_c
from pipeline.errors import UsageError
from pipeline.model import Network

# The ways of the program, and the feature of the processor that each takes.
WAYS = {"plain": "", "avx2": "avx2", "avx512": "avx512_vnni"}
# Gives each way a function that can be called from outside.
OPENED = """
#include "model.c"
void way_plain(int32_t *s, const INPUT *x, int32_t *y, size_t n) { run_plain(s, x, y, n); }
#ifdef CHOOSES
void way_avx2(int32_t *s, const INPUT *x, int32_t *y, size_t n) { run_avx2(s, x, y, n); }
void way_avx512(int32_t *s, const INPUT *x, int32_t *y, size_t n) { run_avx512(s, x, y, n); }
#endif
"""
UNDEFINED = ["-fsanitize=undefined,address", "-fno-sanitize-recover=all", "-g"]


def integers_of(made: Network, farthest: float = 4.0) -> IntegerNetwork:
    return IntegerNetwork("net", made.stored(), farthest)


def inputs_of(integers: IntegerNetwork, steps: int, seed: int) -> Integers:
    """Inputs ``[1, steps, …]`` of every size that there is, and characters that are unknown."""
    rng = np.random.default_rng(seed)
    if integers.vocabulary is not None:
        points = [-1, 2**40, *map(ord, integers.vocabulary)]
        return rng.choice(points, size=(1, steps)).astype(np.int64)
    assert integers.scaler is not None
    shape = (1, steps, len(integers.scaler.input_mean))
    return rng.integers(-(2**15), 2**15, shape) >> rng.integers(0, 12, shape)


def built(files: dict[str, bytes], folder: Path) -> ctypes.CDLL:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "opened.c").write_text(OPENED)
    shared = ["-O2", "-shared", "-fPIC", "-o", "opened.so", "opened.c"]
    command = [tool("gcc"), *STRICT, *shared]
    subprocess.run(command, cwd=folder, check=True, timeout=120)
    return ctypes.CDLL(str(folder / "opened.so"))


def run(
    library: ctypes.CDLL, way: str, integers: IntegerNetwork, x: Integers
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The outputs ``[time, …]`` and the state of a way of the program."""
    state = integers.zero_state(1)[0].astype(np.int32)
    output = np.zeros((x.shape[1], integers.head.size), np.int32)
    kind = np.int64 if integers.vocabulary is not None else np.int16
    given = np.ascontiguousarray(x[0], kind)
    pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (state, given, output))
    getattr(library, way)(*pointers, ctypes.c_size_t(x.shape[1]))
    return output, state


def networks() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "cell": st.sampled_from(CELLS),
            "hidden": st.integers(1, 70),
            "num_layers": st.integers(1, 3),
            "text": st.booleans(),
            "bias": st.booleans(),
            "seed": st.integers(0, 100),
        }
    )


@given(networks())
@settings(max_examples=12)
def test_every_way_of_the_program_gives_the_integers_of_python(
    tmp_path_factory: pytest.TempPathFactory, sizes: dict[str, Any]
) -> None:
    integers = integers_of(network(**sizes))
    library = built(write_integer_c(integers, "0" * 64), tmp_path_factory.mktemp("c"))
    x = inputs_of(integers, steps=40, seed=sizes["seed"])
    outputs, state = integers.run(x, integers.zero_state(1))
    for way, feature in WAYS.items():
        if has(feature):
            found = run(library, f"way_{way}", integers, x)
            assert (found[0] == outputs[0]).all(), way
            assert (found[1] == state[0]).all(), way


def has(feature: str) -> bool:
    """Whether the processor here has what a way takes."""
    info = Path("/proc/cpuinfo")
    words = info.read_text().split() if info.exists() else []
    return not feature or (can_run("scalar") and feature in words)


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_ten_thousand_steps_are_those_of_python_and_nothing_in_them_is_undefined(
    tmp_path: Path, cell: str, text: bool
) -> None:
    integers = integers_of(network(cell, hidden=10, text=text))
    (tmp_path / "main.c").write_text(CHECK)
    for name, data in write_integer_c(integers, "0" * 64).items():
        (tmp_path / name).write_bytes(data)
    for flags in ([], ["-DMODEL_PLAIN"]):
        command = [tool("gcc"), *STRICT, *UNDEFINED, *flags, "main.c", "model.c", "-o", "main"]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
        done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("cell", CELLS)
def test_every_way_on_64_bit_arm_gives_the_integers_of_python(tmp_path: Path, cell: str) -> None:
    compiler, emulator = tool("aarch64-linux-gnu-gcc"), tool("qemu-aarch64")
    integers = integers_of(network(cell, hidden=33, text=cell == "gru"))
    (tmp_path / "main.c").write_text(CHECK)
    for name, data in write_integer_c(integers, "0" * 64).items():
        (tmp_path / name).write_bytes(data)
    old, new = "cortex-a53", "max"  # without dot products and with them
    for flags, processors in (
        (["-DMODEL_PLAIN"], [old]),
        ([], [old, new]),  # chosen when it runs
        (["-march=armv8.2-a+dotprod"], [new]),
    ):
        command = [compiler, *STRICT, "-O2", "-static", *flags, "main.c", "model.c", "-o", "main"]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
        for processor in processors:
            words = [emulator, "-cpu", processor, "./main"]
            done = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=120)
            assert done.returncode == 0, (flags, processor, done.stderr)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("target", [[], ["--target=aarch64-linux-gnu", "-ffreestanding"]])
def test_clang_has_nothing_to_say(tmp_path: Path, cell: str, target: list[str]) -> None:
    integers = integers_of(network(cell, hidden=5, text=cell == "gru"))
    for name, data in write_integer_c(integers, "0" * 64).items():
        (tmp_path / name).write_bytes(data)
    command = [tool("clang"), *target, *STRICT, "-O2", "-c", "model.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


CHECK = """
#define MODEL_NAMES
#include "model.h"
int main(void) {
    static int32_t state[MODEL_STATE], output[MODEL_OUTPUTS];
    uint64_t digest = UINT64_C(0xcbf29ce484222325);
    uint32_t random = 1;
    int step, k;
    model_init(state);
    for (step = 0; step < 10000; step++) {
        MODEL_INPUT x[MODEL_FEATURES];
        for (k = 0; k < MODEL_FEATURES; k++) {
            random ^= random << 13, random ^= random >> 17, random ^= random << 5;
#if MODEL_TEXT
            x[k] = random >> 16;
            x[k] = x[k] % MODEL_OUTPUTS ? model_vocabulary[x[k] % MODEL_OUTPUTS] : -1;
#else
            x[k] = (MODEL_INPUT)((int32_t)(random >> 16) - 32768);
#endif
        }
        model_run(state, x, output, 1);
        for (k = 0; k < MODEL_OUTPUTS; k++)
            digest = (digest ^ (uint32_t)output[k]) * UINT64_C(0x100000001b3);
    }
    for (k = 0; k < MODEL_STATE; k++)
        digest = (digest ^ (uint32_t)state[k]) * UINT64_C(0x100000001b3);
    return digest != MODEL_PROOF;
}
"""


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_integers_are_as_close_to_pytorch_as_their_tolerance_says(cell: str, text: bool) -> None:
    made = network(cell, hidden=24, text=text, num_layers=2)
    integers = integers_of(made)
    tolerance = LESS_THAN_FLOAT32["int16"]
    x = inputs_of(integers, steps=200, seed=1)
    outputs, state = integers.run(x, integers.zero_state(1))
    if made.scaler is None:
        given, scale = torch.from_numpy(x), np.ones(1)
        found = outputs / 2**OUTPUT_BITS
    else:
        mean, deviation = (np.array(getattr(made.scaler, f"input_{k}")) for k in ("mean", "std"))
        values = x / 2**integers.input_bits * deviation + mean
        given, scale = torch.from_numpy(values), np.array(made.scaler.output_std)
        found = outputs / 2**OUTPUT_BITS * scale + np.array(made.scaler.output_mean)
    with torch.inference_mode():
        twin: Any = made.twin(torch.float64)
        expected, after = twin(given, twin.zero_state(1))
    wanted = expected.numpy()
    assert (abs(found - wanted) <= tolerance.atol * scale + tolerance.rtol * abs(wanted)).all()
    assert abs(state / 2**STATE_BITS - after.numpy()).max() <= tolerance.atol


def test_tanh_and_the_logistic_function_are_as_close_as_they_say() -> None:
    x, fixed = np.arange(-(20 * 2**OUTPUT_BITS), 20 * 2**OUTPUT_BITS + 1), FixedPoint()
    exact = x / 2**OUTPUT_BITS
    assert abs(fixed.tanh(x) - np.tanh(exact) * 2**PART_BITS).max() <= 3
    assert abs(fixed.sigmoid(x) - 2**PART_BITS / (1 + np.exp(-exact))).max() <= 2
    assert (np.diff(fixed.sigmoid(x)) >= -1).all()
    assert fixed.tanh(x).max() < 2**PART_BITS  # 16 bits hold it


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"cell": "rnn", "nonlinearity": "relu"}, ["has the function relu", "the target c"]),
        ({"cell": "lstm", "proj_size": 2}, ["has projections", "the target c"]),
        ({"cell": "gru", "bidirectional": True}, ["in both directions"]),
    ],
)
def test_what_fixed_point_does_not_hold_is_refused(sizes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        integers_of(network(**sizes))
    assert all(word in str(error.value) for word in words)


def test_rows_whose_sums_may_not_fit_are_refused() -> None:
    made = network("rnn", hidden=600)
    with torch.no_grad():
        made.recurrent.layers.get_parameter("weight_hh_l0").fill_(0.5)
    with pytest.raises(UsageError, match="do not fit into sums of 32 bits"):
        integers_of(made)


def test_numbers_of_a_series_are_inputs_and_outputs_again(tmp_path: Path) -> None:
    integers = integers_of(network("gru"), farthest=3.9)
    library = built(write_integer_c(integers, "0" * 64), tmp_path)
    library.net_input.argtypes = [ctypes.c_float, ctypes.c_size_t]
    library.net_input.restype = ctypes.c_int16
    library.net_number.argtypes = [ctypes.c_int32, ctypes.c_size_t]
    library.net_number.restype = ctypes.c_float
    assert integers.scaler is not None
    mean, deviation = integers.scaler.input_mean[1], integers.scaler.input_std[1]
    assert integers.input_bits == 13
    assert library.net_input(mean, 1) == 0
    assert library.net_input(mean + 1.5 * deviation, 1) == 12288
    assert library.net_input(mean - 1e9, 1) == -32767
    assert library.net_input(float("inf"), 1) == 32767
    assert library.net_input(float("nan"), 1) == -32767
    mean, deviation = integers.scaler.output_mean[0], integers.scaler.output_std[0]
    assert library.net_number(-(2**15), 0) == pytest.approx(mean - deviation / 2, rel=1e-6)
