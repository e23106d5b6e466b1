"""Replay the golden trajectories and print one line of JSON: python replay.py [--model DIR]."""

import json
import math
import timeit
from typing import Any

from program import Parser, run  # says what is not installed

# isort: split
import numpy as np
from model import RUNTIME, Array, Model, Tensors

Call = tuple[Tensors, Tensors, Tensors]  # inputs; the outputs and the next states to expect
HALF = {"atol": 2.5e-3, "rtol": 1e-3}  # for float16, which has 11 bits


def replay(model: Model) -> bool:
    """Make the calls of ``golden.json``, print one line of JSON, and say whether all agree."""
    golden = model.read_json("golden.json")
    model.load("onnx/model.onnx")
    tolerance = golden["tolerance"]
    if not (0 <= tolerance["atol"] <= 1e-5 and 0 <= tolerance["rtol"] <= 1e-4):
        raise ValueError(f"golden.json: a tolerance of {tolerance} proves nothing")
    errors: dict[str, list[float]] = {"outputs": [], "states": [0.0], "share": []}
    trajectories = [read_trajectory(model, stored) for stored in golden["trajectories"]]
    for states, calls in trajectories:
        for inputs, outputs, following in calls:
            found, states = model.step(inputs, states)
            for kind, are, should in (("outputs", found, outputs), ("states", states, following)):
                for name, expected in should.items():
                    error, share = compare(are[name], expected, tolerance)
                    errors[kind].append(error)
                    errors["share"].append(share)
    worst = {name: float(np.max(found)) for name, found in errors.items()}  # NaN if there is one
    passed = worst["share"] <= 1
    line = {
        "target": "python",
        "runtime": RUNTIME,
        "model": model.manifest["name"],
        "calls": sum(len(calls) for _, calls in trajectories),
        **{name: error if math.isfinite(error) else None for name, error in worst.items()},
        "microseconds_per_step": round(time_step(model, trajectories), 1),
        "passed": passed,
    }
    print(json.dumps(line))
    return passed


def read_trajectory(model: Model, stored: dict[str, Any]) -> tuple[Tensors, list[Call]]:
    """The states that a trajectory starts from, and its calls."""
    batch: dict[str, int] = {}
    given = stored.get("states", stored)  # in format 1, the state stands beside the calls
    states = {name: model.tensor(name, given[name], batch) for name in model.states}
    calls = []
    for call in stored["calls"]:
        sizes = dict(batch)
        tensors = {name: model.tensor(name, call[name], sizes) for name in call}
        inputs = {name: tensors[name] for name in model.inputs}
        outputs = {name: tensors[name] for name in model.outputs}
        following = {before: tensors[after] for before, after in model.states.items()}
        calls.append((inputs, outputs, following))
    return states, calls


def compare(found: Array, expected: Array, tolerance: dict[str, float]) -> tuple[float, float]:
    """The largest error, and its largest share of what is allowed; NaN if the shapes differ."""
    if found.shape != expected.shape:
        return math.nan, math.nan
    error = abs(found.astype(np.float64) - expected.astype(np.float64))
    if expected.dtype.kind != "f":  # integers and booleans are equal, or wrong
        return error.max(), math.inf if error.any() else 0.0
    limit = HALF if expected.dtype == np.float16 else tolerance
    allowed = limit["atol"] + limit["rtol"] * abs(expected.astype(np.float64))
    return error.max(), (error / allowed).max()


def time_step(model: Model, trajectories: list[tuple[Tensors, list[Call]]]) -> float:
    """Microseconds of the smallest call, which is one step: the fastest of 5 rounds of 200."""
    calls = [(inputs, states) for states, calls in trajectories for inputs, _, _ in calls]
    inputs, states = min(calls, key=lambda call: sum(array.size for array in call[0].values()))

    def step() -> None:
        nonlocal states
        _, states = model.step(inputs, states)

    return min(timeit.repeat(step, number=200, repeat=5)) / 200 * 1e6


if __name__ == "__main__":
    options = Parser(description=__doc__).parse_args()
    run(options.model, replay)
