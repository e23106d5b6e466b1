"""Write text, or forecast after every line of standard input.

python example.py --prompt "The " --length 200 --temperature 0.8
python example.py < values.csv
"""

import argparse
import math
import sys

from program import Parser, run  # says what is not installed

# isort: split
import numpy as np
from model import Model, ModelError


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
    """Write text as it is made, or forecast a stream."""
    if model.manifest["state"] is None:
        what = f"{model.manifest['name']} reads whole sequences, not step by step"
        raise ModelError(f"{what}; call Model.step on whole ones", 2)
    if model.manifest["task"] == "series":
        model.load("onnx/model.onnx")
        forecast(model)
        return True
    model.load("onnx/generate.onnx")
    o = options
    for text in model.generate(o.prompt, o.length, o.temperature, o.top_k, o.top_p, o.seed):
        print(text, end="", flush=True)
    print()
    return True


def forecast(model: Model) -> None:
    """After every line of standard input, print what the model says comes next."""
    state, features = model.zero_state(), model.shapes["input"][2]
    for number, line in enumerate(sys.stdin, 1):
        try:
            values = np.array([[line.split(",")]]).astype(np.float32)
        except ValueError:
            values = np.array(math.nan)
        if values.size != features or not np.isfinite(values).all():
            what = f"line {number} of standard input is not {features} numbers"
            raise ModelError(f"{what}; separate them by commas")
        output, state = model.step(values, state)
        print(",".join(f"{value:.9g}" for value in output[0, 0]), flush=True)


if __name__ == "__main__":
    chosen = parse_options()
    run(chosen.model, lambda model: example(model, chosen))
