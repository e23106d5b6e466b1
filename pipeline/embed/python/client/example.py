"""Write text, or say after every line of standard input what comes out.

python example.py --prompt "The " --length 200 --temperature 0.8
python example.py < values.csv
"""

import argparse
import math
import sys
from typing import Any

from program import Parser, run  # says what is not installed

# isort: split
import numpy as np
from model import Array, Model, ModelError


def parse_options() -> argparse.Namespace:
    """The options of the command line; those of text have no effect on a series."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompt", default="")
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--temperature", type=float, default=1.0, help="0 takes the likeliest")
    parser.add_argument("--top-k", type=int, default=0, help="0 is off")
    parser.add_argument("--top-p", type=float, default=1.0, help="1 is off")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    counts = options.length >= 0 and 0 <= options.top_k < 2**31
    if not (counts and 0 <= options.temperature < math.inf and 0 < options.top_p <= 1):
        parser.error("a number is out of range: all are 0 or more, and --top-p up to 1")
    return options


def example(model: Model, options: argparse.Namespace) -> bool:
    """Write text as it is made, or answer a stream."""
    if model.manifest["task"] != "text":
        name, shape = one_line(model)
        model.load("onnx/model.onnx")
        answer(model, name, shape)
        return True
    if not model.states:
        raise whole_sequences(model)
    model.load("onnx/generate.onnx")
    o = options
    for text in model.generate(o.prompt, o.length, o.temperature, o.top_k, o.top_p, o.seed):
        print(text, end="", flush=True)
    print()
    return True


def whole_sequences(model: Model) -> ModelError:
    """The error for a model that has to see a sequence whole."""
    what = f"{model.manifest['name']} reads whole sequences, not step by step"
    return ModelError(f"{what}; call Model.step on whole ones", 2)


def one_line(model: Model) -> tuple[str, list[int]]:
    """The input that a line holds, and its shape: one step, or one call if it has no time axis."""
    name = model.manifest["name"]
    if len(model.inputs) > 1:
        what = f"{name} reads {' and '.join(model.inputs)}, which one line cannot hold"
        raise ModelError(f"{what}; call Model.step with all of them", 2)
    shape = []
    for axis in model.specs[model.inputs[0]]["shape"]:
        rule: dict[str, Any] = model.axes[axis] if isinstance(axis, str) else {"role": "fixed"}
        if rule["role"] == "size":
            what = f"{name} reads {model.inputs[0]}, whose axis {axis} may have any size"
            raise ModelError(f"{what}; call Model.step with the one that you need", 2)
        if rule["role"] == "time" and not model.states:
            raise whole_sequences(model)
        multiple = rule.get("multiple", 1)
        steps = -(-rule.get("smallest", 1) // multiple) * multiple  # the fewest that are allowed
        shape.append({"fixed": axis, "batch": 1, "time": steps}[rule["role"]])
    return model.inputs[0], shape


def answer(model: Model, name: str, shape: list[int]) -> None:
    """After every line of standard input, print the outputs of that step."""
    states, count = model.initial_states(), math.prod(shape)
    for number, line in enumerate(sys.stdin, 1):
        values = parse_line(line, np.dtype(model.specs[name]["type"]))
        if values is None or values.size != count:
            what = f"line {number} of standard input is not {count} numbers"
            raise ModelError(f"{what} of {name}; separate them by commas")
        outputs, states = model.step({name: values.reshape(shape)}, states)
        numbers = [one for array in outputs.values() for one in array.ravel().tolist()]
        print(",".join(map(written, numbers)), flush=True)


def parse_line(line: str, kind: "np.dtype[Any]") -> Array | None:
    """The numbers of a line; None if one of them is none that ``kind`` can hold."""
    try:
        if kind.kind == "f":
            with np.errstate(over="ignore"):
                values = np.array([float(cell) for cell in line.split(",")]).astype(kind)
            return values if np.isfinite(values).all() else None
        whole = [int(cell) for cell in line.split(",")]
        values = np.array(whole, kind)
        return values if values.tolist() == whole else None
    except (ValueError, OverflowError):
        return None


def written(number: float) -> str:
    """A number with all digits that float32 has."""
    return f"{number:.9g}" if isinstance(number, float) else str(int(number))


if __name__ == "__main__":
    chosen = parse_options()
    run(chosen.model, lambda model: example(model, chosen))
