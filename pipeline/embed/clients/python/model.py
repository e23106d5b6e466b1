"""An exported model in ONNX Runtime: a class to copy, and two programs.

python model.py replay     replay the golden calls of the bundle, and time one step
python model.py example    write text, or forecast after every line of standard input
"""

import argparse
import hashlib
import json
import math
import signal
import sys
import timeit
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

try:
    import numpy as np
    import onnxruntime
except ImportError as error:
    if __name__ != "__main__":
        raise
    print(f"error: {error}; run 'pip install -r requirements.txt'", file=sys.stderr)
    sys.exit(7)

Array = np.ndarray[Any, np.dtype[Any]]
RUNTIME = f"onnxruntime {onnxruntime.__version__}"
FORMAT = 1
CHUNK = 16  # characters of one call: few enough to be seen as they come


class ModelError(Exception):
    """What is wrong, where, and what to do; a program exits with ``code``."""

    def __init__(self, message: str, code: int = 3) -> None:
        super().__init__(message)
        self.code = code


class Model:
    """A bundle whose files are just those that were exported, and one of its graphs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = {}
        self.manifest = self.read_json("manifest.json")
        specs = self.manifest["inputs"] + self.manifest["outputs"]
        self.shapes = {spec["name"]: spec["shape"] for spec in specs}
        self.types = {spec["name"]: spec["type"] for spec in specs}

    def read(self, name: str) -> bytes:
        """The bytes of a file, held against its digest if the manifest is there to do so."""
        path = self.folder / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelError(f"cannot read {path}: {error.strerror}; export it anew") from error
        if self.manifest:
            entry = self.manifest["files"][name]
            if (len(data), hashlib.sha256(data).hexdigest()) != (entry["bytes"], entry["sha256"]):
                raise ModelError(f"{path} was changed after its export; export it anew", 5)
        return data

    def read_json(self, name: str) -> dict[str, Any]:
        """The content of a JSON file, of a format that is known here."""
        content: dict[str, Any] = json.loads(self.read(name))
        if (found := content["format"]) > FORMAT:
            what = f"{self.folder / name} has format {found}; this program reads {FORMAT}"
            raise ModelError(f"{what}; update it")
        return content

    def load(self, graph: str) -> None:
        """Open the graph to run: ``onnx/model.onnx``, or ``onnx/generate.onnx``."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a step is too small to share: more threads only wait
        options.log_severity_level = 3  # it warns about shapes that are dynamic on purpose
        self.session = onnxruntime.InferenceSession(
            self.read(graph), options, ["CPUExecutionProvider"]
        )

    def zero_state(self) -> Array | None:
        """The state that starts a stream; None for models of whole sequences."""
        if self.manifest["state"] is None:
            return None
        return np.zeros((1, *self.shapes["state"][1:]), np.float32)

    def step(self, values: Array, state: Array | None) -> tuple[Array, Array | None]:
        """Output and next state of one call, of any number of streams and steps."""
        if state is None:
            return self.session.run(None, {"input": values})[0], None
        output, next_state = self.session.run(None, {"input": values, "state": state})
        return output, next_state

    def generate(
        self, prompt: str, length: int, temperature: float, top_k: int, top_p: float, seed: int
    ) -> Iterator[str]:
        """Yield text in pieces, by the loop inside ``onnx/generate.onnx``."""
        numbers = random_numbers(seed)
        feeds = {
            "prompt": np.array([[ord(character) for character in prompt]], np.int64),
            "temperature": np.array(temperature, np.float32),
            "top_k": np.array(top_k, np.int64),
            "top_p": np.array(top_p, np.float32),
            "state": self.zero_state(),
        }
        for start in range(0, length, CHUNK):
            uniform = [next(numbers) for _ in range(min(CHUNK, length - start))]
            feeds["uniform"] = np.array([uniform], np.float32)
            text, _, feeds["state"] = self.session.run(None, feeds)
            feeds["prompt"] = np.zeros((1, 0), np.int64)  # the state has read it
            yield "".join(map(chr, text[0]))


def random_numbers(seed: int) -> Iterator[float]:
    """Numbers from 0 to 1 by xorshift32, the same in every language."""
    x = seed * 0x9E3779B9 % 2**32 | 1
    while True:
        x ^= (x << 13) % 2**32
        x ^= x >> 17
        x ^= (x << 5) % 2**32
        yield (x >> 8) / 2**24


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


class Parser(argparse.ArgumentParser):
    """Options; a wrong one is an error of one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit."""
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        sys.exit(2)


def main() -> int:
    """Run a program; returns its exit code."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    programs = parser.add_subparsers(dest="program", required=True)
    for name in ("replay", "example"):
        program = programs.add_parser(name)
        program.add_argument("--model", type=Path, default=Path(__file__).parent / "model")
    program.add_argument("--prompt", default="")
    program.add_argument("--length", type=int, default=200)
    program.add_argument("--temperature", type=float, default=1.0, help="0 takes the likeliest")
    program.add_argument("--top-k", type=int, default=0, help="0 is off")
    program.add_argument("--top-p", type=float, default=1.0, help="1 is off")
    program.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.program == "example":
        counts = options.length >= 0 and 0 <= options.top_k < 2**31
        if not (counts and 0 <= options.temperature < math.inf and 0 < options.top_p <= 1):
            program.error("a number is out of range: all are 0 or more, and --top-p up to 1")
    try:
        model = Model(options.model)
        agrees = replay(model) if options.program == "replay" else example(model, options)
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except (LookupError, TypeError, ValueError, OverflowError, RecursionError) as error:
        why = f"{type(error).__name__}: {error}"
        what = f"manifest.json or golden.json in {options.model} is malformed ({why})"
        print(f"error: {what}; export it anew", file=sys.stderr)
        return 3
    except Exception as error:  # those of ONNX Runtime have no class in common
        why = " ".join(str(error).split())
        print(
            f"error: {RUNTIME} cannot run {options.model} ({why}); install a newer one",
            file=sys.stderr,
        )
        return 7
    return 0 if agrees else 1


if __name__ == "__main__":
    for name in {"SIGINT", "SIGPIPE"} & set(dir(signal)):  # end quietly, as other programs do
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.exit(main())
