"""The generated C of a variant: its weights lie in flash as small as they are stored."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks_in_c import (
    BUILDS,
    STRICT,
    InC,
    assert_pytorchs,
    assert_same,
    can_run,
    network,
    run,
    sequences,
    written,
)
from tiny import tool

from pipeline.contract.small_weights import SmallType
from pipeline.model import Network
from pipeline.variants.rounding import rounded_to_nearest

SMALL: tuple[SmallType, ...] = ("float16", "int8", "int4")
NETWORKS: list[tuple[str, int, dict[str, Any]]] = [
    ("lstm", 20, {"proj_size": 12, "text": True}),
    ("gru", 32, {"features": 1, "num_layers": 2}),  # the input of one column is float32 in int8
    ("rnn", 64, {"features": 70}),
    ("gru", 16, {"text": True}),
]


def rounded(small: SmallType, *sizes: Any, **options: Any) -> Network:
    """A network whose weights are those that a variant has."""
    made = network(*sizes, **options)
    weights = {name: tensor.numpy() for name, tensor in made.state_dict().items()}
    values = rounded_to_nearest(weights, small)
    made.load_state_dict({name: torch.from_numpy(one.values) for name, one in values.items()})
    return made


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("small", SMALL)
def test_small_weights_give_pytorchs_numbers(tmp_path: Path, build: str, small: SmallType) -> None:
    if not can_run(build):
        pytest.skip("not on this processor")
    for cell, hidden, options in NETWORKS:
        made = rounded(small, cell, hidden, **options)
        in_c = InC(made, tmp_path, build, small=small)
        assert_pytorchs(in_c, made)
        inputs, state = sequences(made, 9, 10)
        assert_same(in_c.batch(inputs, state), in_c(inputs, state))


@pytest.mark.parametrize("small", SMALL)
def test_clang_takes_small_weights(tmp_path: Path, small: SmallType) -> None:
    for build in ("chosen", "four"):
        if can_run(build):
            made = rounded(small, "lstm", 32, text=True)
            assert_pytorchs(InC(made, tmp_path, build, "clang", ("-O3",), small), made)


@pytest.mark.parametrize(("small", "most"), [("float16", 0.55), ("int8", 0.3), ("int4", 0.3)])
def test_flash_is_as_small_as_the_weights(tmp_path: Path, small: SmallType, most: float) -> None:
    made = rounded(small, "lstm", 64, features=16, targets=1)
    size = {}
    for kind in (None, small):
        folder = written(tmp_path / str(kind), made, small=kind)
        flags = ["-Os", "-DMODEL_PLAIN", "-DNET_BLOCK=1"]
        run([tool("gcc"), *STRICT, *flags, "-c", "model.c"], folder)
        text, data, _ = run([tool("size"), "model.o"], folder).splitlines()[1].split()[:3]
        size[kind] = int(text) + int(data)
    assert size[small] < most * size[None] + 4096  # the code


HALVES = """
#include "model.c"
#include <string.h>
void widen_all(float *y, const uint16_t *x, size_t n) {
    size_t k;
    for (k = 0; k < n; k += PLAIN_LANES) {
#if PLAIN_LANES > 1
        vector_plain word = widen_plain(x + k);
#else
        float word = widened(x[k]);
#endif
        memcpy(y + k, &word, sizeof word);
    }
}
"""


@pytest.mark.parametrize("build", [build for build in BUILDS if build != "chosen"])
def test_every_float16_widens_to_its_value(tmp_path: Path, build: str) -> None:
    if not can_run(build):
        pytest.skip("not on this processor")
    folder = written(tmp_path, rounded("float16", "gru", 16), small="float16")
    (folder / "halves.c").write_text(HALVES)
    flags = ["-std=gnu99", "-O2", *BUILDS[build][0], "-shared", "-fPIC"]
    run([tool("gcc"), *flags, "-o", "halves.so", "halves.c"], folder)
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    found = np.empty(len(halves), np.float32)
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (found, halves)]
    ctypes.CDLL(str(folder / "halves.so")).widen_all(*pointers, ctypes.c_size_t(len(halves)))
    np.testing.assert_array_equal(found.view(np.uint32), halves.astype(np.float32).view(np.uint32))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_compilers_have_nothing_to_say(tmp_path: Path, compiler: str, level: str) -> None:
    for small in SMALL:
        for text in (False, True):
            for plain in ([], ["-DMODEL_PLAIN", "-U__SSE2__"]):
                made = rounded(small, "lstm", 20, text)
                folder = written(tmp_path / f"{small}-{text}-{len(plain)}", made, small=small)
                flags = [*STRICT, "-Wshadow", level, *plain]
                run([tool(compiler), *flags, "-c", "model.c"], folder)
