"""The network in C: PyTorch's numbers from every compiler, and the small programs around it."""

import ctypes
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny import refused, tool

from pipeline.bundle import Bundle, network_of
from pipeline.config import CELLS, SeriesModel, TextModel
from pipeline.contract import Scaler
from pipeline.contract.law import FLOAT32
from pipeline.contract.samples import outside
from pipeline.contract.small_weights import SmallType
from pipeline.embed.c.source import c_source, identifier, write_c
from pipeline.errors import UsageError
from pipeline.model import Network
from pipeline.variants.rounding import rounded_to_nearest

WASM = Path(__file__).parents[1] / "pipeline/embed/wasm/client"
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


@pytest.mark.parametrize("build", BUILDS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(kind=kinds)
def test_every_kind_of_network_gives_pytorchs_numbers(
    tmp_path_factory: pytest.TempPathFactory, build: str, kind: dict[str, Any]
) -> None:
    if not can_run(build):
        pytest.skip(f"this processor has no {BUILDS[build][1] or 'SSE'}")
    options = dict(kind)
    if options.pop("own", False):  # what only one cell has
        if kind["cell"] == "rnn":
            options["nonlinearity"] = "relu"
        if kind["cell"] == "lstm" and kind["hidden"] > 1:
            options["proj_size"] = (kind["hidden"] + 1) // 2
    made = network(**options)
    assert_pytorchs(InC(made, tmp_path_factory.getbasetemp() / "kinds", build), made)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize(
    ("hidden", "options"),
    [(20, {"proj_size": 16}), (32, {"proj_size": 9}), (5, {"proj_size": 1, "num_layers": 2})],
)
def test_projected_h_is_followed_by_zeros(
    tmp_path: Path, compiler: str, hidden: int, options: dict[str, Any]
) -> None:
    made = network("lstm", hidden, **options)
    in_c = InC(made, tmp_path, compiler=compiler)
    assert_pytorchs(in_c, made)
    _, following = in_c(*sequences(made))
    layers = options.get("num_layers", 1)
    assert not following[:, :layers, options["proj_size"] :].any()
    assert following[:, :layers, : options["proj_size"]].all()


@pytest.mark.parametrize("cell", CELLS)
def test_wide_panels_and_more_outputs_than_units(tmp_path: Path, cell: str) -> None:
    for made in (network(cell, 64, features=1, targets=9), network(cell, 3, targets=40)):
        assert_pytorchs(InC(made, tmp_path), made)


def test_a_large_vocabulary_out_of_order(tmp_path: Path) -> None:
    points = np.random.default_rng(0).permutation(np.arange(0x4E00, 0x4E00 + 300))
    torch.manual_seed(0)
    config = TextModel.model_validate({"cell": "gru", "hidden_size": 8, "embedding_size": 7})
    made = Network(config, vocabulary="".join(map(chr, points))).eval()
    in_c = InC(made, tmp_path)
    inputs, state = points[None, :], made.zero_state(1).numpy()
    with torch.inference_mode():
        expected, _ = made(torch.from_numpy(inputs), torch.from_numpy(state))
    np.testing.assert_allclose(in_c(inputs, state)[0], expected.numpy(), rtol=1e-4, atol=1e-5)


BLOCKED = [  # with rows of zeros, and in panels of every size
    ("lstm", 6, {"num_layers": 2}),
    ("lstm", 20, {"proj_size": 6, "text": True}),
    ("gru", 16, {}),
    ("gru", 32, {"text": True}),
    ("rnn", 8, {"text": True}),
    ("lstm", 80, {"features": 70}),  # more columns than a piece
]


def assert_same(found: Sequence[Floats], expected: Sequence[Floats]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("cell", "hidden", "options"), BLOCKED)
def test_cut_anywhere_and_in_a_batch_every_bit_is_the_same(
    tmp_path: Path, build: str, cell: str, hidden: int, options: dict[str, Any]
) -> None:
    if not can_run(build):
        pytest.skip("not on this processor")
    made = network(cell, hidden, **options)
    in_c = InC(made, tmp_path, build)
    inputs, state = sequences(made, 1, 21)
    whole = in_c(inputs, state)
    for pieces in ([8, 13], [1, 1, 7, 9, 3], [1] * 21):
        outputs, between = [], state
        for piece in np.split(inputs, np.cumsum(pieces)[:-1], axis=1):
            output, between = in_c(piece, between)
            outputs.append(output)
        assert_same((np.concatenate(outputs, axis=1), between), whole)
    for streams in (3, 8, 9):  # fewer than a block has, as many, and one more
        inputs, state = sequences(made, streams, 10)
        assert_same(in_c.batch(inputs, state), in_c(inputs, state))
    assert_pytorchs(in_c.batch, made)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_the_size_of_a_block_changes_no_bit(tmp_path: Path, compiler: str, level: str) -> None:
    made = network("lstm", 20, text=True, num_layers=2)
    inputs, state = sequences(made, 5, 12)
    built = [
        InC(made, tmp_path, compiler=compiler, flags=(level, f"-DNET_BLOCK={size}"))
        for size in (1, 3, 8)
    ]
    expected = built[0](inputs, state)
    for in_c in built:
        assert_same(in_c(inputs, state), expected)
        assert_same(in_c.batch(inputs, state), expected)


@pytest.mark.parametrize("cell", CELLS)
def test_the_header_states_the_stack_that_a_block_takes(tmp_path: Path, cell: str) -> None:
    folder = written(tmp_path, network(cell, 64, features=3))
    (folder / "size.c").write_text(
        '#include "model.h"\n#include <stdio.h>\nint main(void) { printf("%d", NET_SCRATCH); }\n'
    )
    scratch = {}
    for block in (1, 8, 20):
        define = f"-DNET_BLOCK={block}"
        run([tool("gcc"), *STRICT, define, "size.c", "-o", "size"], folder)
        scratch[block] = int(run(["./size"], folder))
        run([tool("gcc"), *STRICT, define, "-O3", "-fstack-usage", "-c", "model.c"], folder)
        used = [int(line.split("\t")[1]) for line in (folder / "model.su").read_text().splitlines()]
        assert 0.9 * scratch[block] < max(used) < scratch[block] + 1024
    assert scratch[1] < scratch[8] / 5


def test_a_stream_starts_from_zeros(tmp_path: Path) -> None:
    made = network("gru", 5, num_layers=2)
    state = np.ones(10, np.float32)
    InC(made, tmp_path).library.net_init(state.ctypes.data_as(ctypes.c_void_p))
    assert not state.any()


def test_weights_that_are_not_finite_give_what_pytorch_gives(tmp_path: Path) -> None:
    made = network("rnn", 4, nonlinearity="relu")
    with torch.no_grad():
        made.head.weight[0, 0] = float("nan")
        made.head.bias[1] = float("inf")
    output, following = InC(made, tmp_path)(*sequences(made))
    assert np.isnan(output[..., 0]).all()
    assert np.isposinf(output[..., 1]).all()
    assert np.isfinite(following).all()


@pytest.mark.parametrize("build", BUILDS)
def test_nan_stays_nan(tmp_path: Path, build: str) -> None:
    if not can_run(build):
        pytest.skip("not on this processor")
    for cell in CELLS:
        made = network(cell, 16)
        inputs, state = sequences(made, 1, 2)
        inputs[0, 0, 0] = np.nan
        output, following = InC(made, tmp_path, build)(inputs, state)
        assert np.isnan(output).all()
        assert np.isnan(following).all()


FUNCTIONS = """
#include "model.c"
#include <string.h>
#define OVER(name, call) \\
    void name##_all(float *x, size_t n) { \\
        size_t k; \\
        for (k = 0; k < n; k += PLAIN_LANES) { \\
            word_plain word; \\
            memcpy(&word, x + k, sizeof word); \\
            word.number = call(word.number); \\
            memcpy(x + k, &word, sizeof word); \\
        } \\
    }
OVER(expm1, exp_minus_1_plain)
OVER(tanh, activation_plain)
void logistic_all(float *x, size_t n) { gates_plain(x, n); }
"""


@pytest.mark.parametrize("build", [build for build in BUILDS if build != "chosen"])
def test_functions_are_within_three_units_in_the_last_place(tmp_path: Path, build: str) -> None:
    if not can_run(build):
        pytest.skip("not on this processor")
    folder = written(tmp_path, network("gru", 16))
    (folder / "functions.c").write_text(FUNCTIONS)
    flags = ["-std=gnu99", "-O2", *BUILDS[build][0], "-shared", "-fPIC"]
    run([tool("gcc"), *flags, "-o", "functions.so", "functions.c"], folder)
    library = ctypes.CDLL(str(folder / "functions.so"))
    patterns = np.arange(0, 2**32, 4099, dtype=np.uint32).view(np.float32)
    points = np.concatenate([patterns, np.linspace(-20, 20, 400_000, dtype=np.float32)])
    points = points[(np.abs(points) <= 29) & (np.abs(points) > 1e-37)]
    points = points[: len(points) // 16 * 16]
    exact: dict[str, tuple[Callable[[Any], Any], float]] = {
        "expm1": (np.expm1, 2),
        "tanh": (np.tanh, 3),
        "logistic": (lambda x: 1 / (1 + np.exp(-x)), 3),
    }
    for name, (function, bound) in exact.items():
        found = points.copy()
        pointer = found.ctypes.data_as(ctypes.c_void_p)
        getattr(library, f"{name}_all")(pointer, ctypes.c_size_t(len(found)))
        right = function(points.astype(np.float64))
        unit = np.spacing(np.abs(right).astype(np.float32)).astype(np.float64)
        assert (np.abs(found - right) / unit).max() <= bound, name


def test_far_outside_the_functions_reach_their_limits(tmp_path: Path) -> None:
    made = network("lstm", 16)
    inputs, state = sequences(made, 1, 1)
    inputs[...] = 1e36
    output, following = InC(made, tmp_path)(inputs, state)
    assert np.isfinite(output).all()
    assert np.isfinite(following).all()


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-O0", "-O2", "-O3"])
def test_compilers_have_nothing_to_say(
    tmp_path: Path,
    tiny_bundle: Callable[[str], Bundle],
    compiler: str,
    level: str,
) -> None:
    networks = {preset: network_of(tiny_bundle(preset)) for preset in PRESETS}
    networks |= {
        f"wide-{cell}-{text}": network(cell, 16, text) for cell in CELLS for text in (False, True)
    }
    networks |= {"projected": network("lstm", 20, proj_size=16), "relu": network("rnn", bias=False)}
    for name, made in networks.items():
        folder = written(tmp_path / name, made, name)
        run([tool(compiler), *STRICT, "-Wshadow", level, "-c", "model.c"], folder)


@pytest.mark.parametrize("text", [False, True])
def test_a_build_with_fast_math_gives_pytorchs_numbers(tmp_path: Path, text: bool) -> None:
    for cell in CELLS:
        made = network(cell, 32, text)
        folder = written(tmp_path / cell, made)
        run([tool("gcc"), "-O3", "-ffast-math", "-fPIC", "-c", "model.c"], folder)
        # Linked with that flag, it would take subnormal numbers from this whole process.
        run([tool("gcc"), "-shared", "-o", "net.so", "model.o"], folder)
        in_c = InC(made, tmp_path / "own")
        in_c.library = ctypes.CDLL(str(folder / "net.so"))
        assert_pytorchs(in_c, made)


def test_two_models_live_in_one_program_in_cpp(tmp_path: Path) -> None:
    written(tmp_path / "one", network("lstm", 6), "sine-lstm")
    written(tmp_path / "two", network("gru", 16, text=True), "2-words")
    (tmp_path / "main.cpp").write_text(
        '#include "one/model.h"\n#include "two/model.h"\n#include <cstdio>\n'
        "int main() {\n"
        "    float state[SINE_LSTM_STATE], output[SINE_LSTM_OUTPUTS], input[2] = {1, 2};\n"
        "    float other[MODEL_2_WORDS_STATE], logits[MODEL_2_WORDS_OUTPUTS];\n"
        "    sine_lstm_init(state);\n    sine_lstm_step(state, input, output);\n"
        "    model_2_words_init(other);\n    model_2_words_step(other, 'a', logits);\n"
        '    std::printf("%d", output[0] == output[0] && logits[0] == logits[0]);\n}\n'
    )
    for folder in ("one", "two"):
        run([tool("gcc"), *STRICT, "-c", "model.c"], tmp_path / folder)
    flags = ["-std=c++11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-o", "main"]
    for compiler in ("g++", "clang++"):
        run([tool(compiler), *flags, "main.cpp", "one/model.o", "two/model.o"], tmp_path)
        assert run(["./main"], tmp_path) == "1"


def test_rust_calls_it(tmp_path: Path) -> None:
    made = network("gru", 5)
    folder = written(tmp_path, made)
    (folder / "main.rs").write_text(
        'extern "C" {\n    fn net_init(state: *mut f32);\n'
        "    fn net_step(state: *mut f32, input: *const f32, output: *mut f32);\n}\n"
        "fn main() {\n    let (mut state, mut output) = ([1f32; 5], [0f32; 2]);\n"
        "    unsafe {\n        net_init(state.as_mut_ptr());\n"
        "        net_step(state.as_mut_ptr(), [0.5f32, 0.25].as_ptr(), output.as_mut_ptr());\n"
        '    }\n    println!("{} {}", output[0], output[1]);\n}\n'
    )
    rustc = tool("rustc")
    run([tool("gcc"), *STRICT, "-O2", "-fPIC", "-c", "model.c"], folder)
    run([rustc, "-C", "link-arg=model.o", "main.rs"], folder)
    found = [float(word) for word in run(["./main"], folder).split()]
    with torch.inference_mode():
        expected, _ = made(torch.tensor([[[0.5, 0.25]]]), made.zero_state(1))
    np.testing.assert_allclose(found, expected.flatten().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("cell", CELLS)
def test_the_object_is_a_few_kilobytes_without_its_weights(
    tmp_path: Path, cell: str, compiler: str
) -> None:
    made = network(cell, 64, features=1, targets=1)
    folder = written(tmp_path, made)
    arrays = re.findall(r"static const float \w+\[(\d+)\]", (folder / "model.c").read_text())
    kinds = {  # for three widths of vectors with and without blocks, and for one
        20: [],
        8: ["-DNET_BLOCK=1"],
        4: ["-DNET_BLOCK=1", "-DMODEL_PLAIN", "-Os"],
    }
    for most, flags in kinds.items():
        run([tool(compiler), *STRICT, "-O3", *flags, "-c", "model.c"], folder)
        sizes = run([tool("size"), "model.o"], folder).splitlines()[1]
        text, data, bss = map(int, sizes.split()[:3])
        assert bss == 0
        assert text + data - 4 * sum(map(int, arrays)) < most * 1024


def test_a_microcontroller_needs_nothing_else(tmp_path: Path) -> None:
    for text in (False, True):
        folder = written(tmp_path / str(text), network("lstm", 20, text, proj_size=6))
        flags = ["-ffreestanding", "-fno-builtin", "-Os", "-DMODEL_PLAIN", "-Wstack-usage=2048"]
        run([tool("gcc"), *STRICT, *flags, "-c", "model.c"], folder)
        needed = run([tool("nm"), "--undefined-only", "model.o"], folder).split()
        assert set(needed) <= {"U", "memcpy", "memset"}


def test_the_same_bundle_gives_the_same_bytes(tiny_bundle: Callable[[str], Bundle]) -> None:
    for preset in PRESETS:
        assert c_source(tiny_bundle(preset)) == c_source(tiny_bundle(preset))


def test_weights_come_back_exactly(tmp_path: Path) -> None:
    made = network("rnn", 4, features=1, targets=1)
    source = write_c(made.stored(), "net", "0" * 64)["model.c"].decode()
    text = re.search(r" hidden_weights_0\[16\] = \{([^}]*)\}", source)
    assert text
    values = np.array(
        [float(word) for word in text[1].replace("f", "").split(",")[:-1]], np.float32
    )
    weights = made.state_dict()["recurrent.layers.weight_hh_l0"].numpy()
    np.testing.assert_array_equal(values.reshape(4, 4).T, weights)


def test_the_source_says_what_it_is(tiny_bundle: Callable[[str], Bundle]) -> None:
    bundle = tiny_bundle("sine-lstm")
    for content in c_source(bundle).values():
        text = content.decode("ascii")
        assert text.startswith("/* sine-lstm: ")
        assert str(bundle.manifest.checkpoint_sha256) in text
        assert max(map(len, text.splitlines())) <= 100
        assert not re.search(r"#if (TEXT|LSTM|GRU|RNN|RELU|PADDING|PROJECTION)", text)


def test_names_become_names_in_c() -> None:
    assert identifier("sine-lstm-100x2") == "sine_lstm_100x2"
    assert identifier("2-layers") == "model_2_layers"
    assert identifier("Sine-LSTM.v2") == "sine_lstm_v2_f4abda01"


def test_whole_sequences_are_refused() -> None:
    both = network("gru", 4, bidirectional=True, readout="last")
    with refused(UsageError, "both", "one direction"):
        write_c(both.stored(), "both", "0" * 64)


IN_NODE = """
import { readFile } from "node:fs/promises";
import { Network } from "./network.mjs";
const network = await Network.load(await readFile("model.wasm"));
const { inputs, state } = JSON.parse(await readFile("given.json", "utf8"));
const carried = Float32Array.from(state);
const outputs = inputs.map((input) => Array.from(network.step(carried, input)));
const { checkpoint } = network;
console.log(JSON.stringify({ outputs, state: Array.from(carried), checkpoint }));
"""


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_webassembly_gives_pytorchs_numbers(tmp_path: Path, cell: str, text: bool) -> None:
    made = network(cell, 20, text, num_layers=2)
    folder = written(shutil.copytree(WASM, tmp_path / "wasm"), made)
    for name in ("clang", "wasm-ld", "node"):
        tool(name)
    run([tool("make"), "--silent"], folder)
    inputs, state = sequences(made, 1, 5)
    content = {"inputs": inputs[0].reshape(5, -1).tolist(), "state": state.ravel().tolist()}
    (folder / "given.json").write_text(json.dumps(content))
    (folder / "program.mjs").write_text(IN_NODE)
    found = json.loads(run(["node", "program.mjs"], folder))
    with torch.inference_mode():
        output, following = made(torch.from_numpy(inputs), torch.from_numpy(state))
    np.testing.assert_allclose(found["outputs"], output[0].numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["state"], following.numpy().ravel(), rtol=1e-4, atol=1e-5)
    assert found["checkpoint"] == "0" * 64


def test_the_webassembly_module_is_a_few_kilobytes_and_its_weights(tmp_path: Path) -> None:
    made = network("lstm", 64, features=1, targets=1)
    folder = written(shutil.copytree(WASM, tmp_path / "wasm"), made)
    for name in ("clang", "wasm-ld"):
        tool(name)
    run([tool("make"), "--silent"], folder)
    weights = sum(4 * parameter.numel() for parameter in made.parameters())
    assert (folder / "model.wasm").stat().st_size - weights < 4096
