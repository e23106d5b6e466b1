"""Builds of the network in C: compilers, fast math, other languages, small programs."""

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from networks_in_c import (
    PRESETS,
    STRICT,
    InC,
    assert_pytorchs,
    network,
    run,
    written,
)
from tiny import tool

from pipeline.bundle import Bundle, network_of
from pipeline.config import CELLS


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
