"""Replay the golden trajectories and print one line of JSON: python replay.py [--model DIR]."""

import json
import math
import timeit
from typing import Any

from program import Parser, run  # says what is not installed

# isort: split
import numpy as np
from model import RUNTIME, Array, Model


def golden_tensor(model: Model, name: str, stored: Any, sizes: dict[str, int]) -> Array:
    """A tensor of ``golden.json``; ``sizes`` learns those of the dynamic axes."""
    for axis, size in zip(model.shapes[name], stored["shape"], strict=True):
        if size < 1 or size != (sizes.setdefault(axis, size) if isinstance(axis, str) else axis):
            raise ValueError(f"golden.json: {name} has shape {stored['shape']}")
    return np.array(stored["data"], model.types[name]).reshape(stored["shape"])


def replay(model: Model) -> bool:
    """Make the calls of ``golden.json``, print one line of JSON, and say whether all agree."""
    golden = model.read_json("golden.json")
    model.load("onnx/model.onnx")
    atol, rtol = golden["tolerance"]["atol"], golden["tolerance"]["rtol"]
    if not (0 <= atol <= 1e-5 and 0 <= rtol <= 1e-4):
        raise ValueError(f"golden.json: a tolerance of {atol} and {rtol} proves nothing")
    errors: dict[str, list[float]] = {"output": [], "next_state": [0.0], "share": []}
    for trajectory in golden["trajectories"]:
        batch: dict[str, int] = {}
        state = model.zero_state()
        if state is not None:
            state = golden_tensor(model, "state", trajectory["state"], batch)
        for call in trajectory["calls"]:
            sizes = dict(batch)
            output, state = model.step(golden_tensor(model, "input", call["input"], sizes), state)
            for name, found in (("output", output), ("next_state", state)):
                if found is not None:
                    expected = golden_tensor(model, name, call[name], sizes).astype(np.float64)
                    same = found.shape == expected.shape
                    error = abs(found - expected) if same else np.array(math.nan)
                    errors[name].append(error.max())
                    errors["share"].append((error / (atol + rtol * abs(expected))).max())
    worst = {name: float(np.max(found)) for name, found in errors.items()}  # NaN if there is one
    passed = worst["share"] <= 1
    line = {
        "target": "python",
        "runtime": RUNTIME,
        "model": model.manifest["name"],
        "calls": len(errors["output"]),
        **{name: error if math.isfinite(error) else None for name, error in worst.items()},
        "microseconds_per_step": round(time_step(model), 1),
        "passed": passed,
    }
    print(json.dumps(line))
    return passed


def time_step(model: Model) -> float:
    """Microseconds of one step of one stream: the fastest of 5 rounds of 200."""
    one = [1 if isinstance(axis, str) else axis for axis in model.shapes["input"]]
    values, state = np.ones(one, model.types["input"]), model.zero_state()

    def step() -> None:
        nonlocal state
        _, state = model.step(values, state)

    return min(timeit.repeat(step, number=200, repeat=5)) / 200 * 1e6


if __name__ == "__main__":
    options = Parser(description=__doc__).parse_args()
    run(options.model, replay)
