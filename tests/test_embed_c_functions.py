"""Functions in C: how near they are to the exact ones, and what is not finite."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks_in_c import (
    BUILDS,
    InC,
    can_run,
    network,
    run,
    sequences,
    written,
)
from tiny import tool

from pipeline.config import CELLS


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
