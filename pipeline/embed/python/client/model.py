"""An exported model in ONNX Runtime: the client to copy. It needs numpy and onnxruntime alone."""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Array = np.ndarray[Any, np.dtype[Any]]
Tensors = dict[str, Array]  # by name
RUNTIME = f"onnxruntime {onnxruntime.__version__}"
FORMAT = 2  # and older ones
AXES = {"batch": {"role": "batch"}, "time": {"role": "time"}}  # in format 1
CHUNK = 16  # characters of one call: few enough to be seen as they come
LIMIT = 64 * 2**20  # bytes of the manifest
SEAL = re.compile(rb'\{\n  "sha256": "([0-9a-f]{64})",\n')  # its digest, over all but this line
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
TYPES = {"float16", "float32", "float64", "bool", *INTEGERS}


class ModelError(Exception):
    """What is wrong, where, and what to do; a program exits with ``code``."""

    def __init__(self, message: str, code: int = 3) -> None:
        super().__init__(message)
        self.code = code


class Model:
    """A bundle whose files are just those that were exported, and one of its graphs.

    ``specs`` are the tensors by name. ``states`` gives for the name of every state that of the
    next one; ``inputs`` and ``outputs`` are the names of all other tensors.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = self.read_manifest()
        specs = self.manifest["inputs"] + self.manifest["outputs"]
        self.specs = {spec["name"]: spec for spec in specs}
        self.axes = self.manifest.get("axes", AXES)
        self.pairs = state_pairs(self.manifest)
        self.states = {pair["input"]: pair["output"] for pair in self.pairs}
        carried = {*self.states, *self.states.values()}
        self.inputs, self.outputs = (
            [spec["name"] for spec in self.manifest[side] if spec["name"] not in carried]
            for side in ("inputs", "outputs")
        )

    def read_manifest(self) -> dict[str, Any]:
        """The manifest, held against its seal; those of earlier versions have none."""
        data = self.read_bytes("manifest.json", None)
        seal = SEAL.match(data)
        if seal and sha256(data[:2] + data[seal.end() :]) != seal[1].decode():
            raise self.changed("manifest.json")
        manifest = self.parse("manifest.json", data)
        if not seal and next(iter(manifest)) != "format":
            raise self.changed("manifest.json")
        check_manifest(manifest)
        return manifest

    def read_bytes(self, name: str, size: int | None) -> bytes:
        """The bytes of a regular file, which has ``size`` of them; None is for the manifest."""
        path = self.folder / name
        try:
            found = path.stat().st_size
            if not path.is_file() or (size is None and found > LIMIT):
                raise ModelError(f"cannot read {path}: it is no such file; export it anew")
            if size is not None and found != size:
                raise self.changed(name)
            return path.read_bytes()
        except OSError as error:
            raise ModelError(f"cannot read {path}: {error.strerror}; export it anew") from error

    def read(self, name: str) -> bytes:
        """The bytes of a file, held against the size and the digest in the manifest."""
        entry = self.manifest["files"][name]
        data = self.read_bytes(name, entry["bytes"])
        if sha256(data) != entry["sha256"]:
            raise self.changed(name)
        return data

    def changed(self, name: str) -> ModelError:
        """The error for a file that is not the one that was exported."""
        return ModelError(f"{self.folder / name} was changed after its export; export it anew", 5)

    def parse(self, name: str, data: bytes) -> dict[str, Any]:
        """JSON of a format that is known here."""
        content: dict[str, Any] = json.loads(data)
        if (found := content["format"]) > FORMAT:
            what = f"{self.folder / name} has format {found}; this program reads {FORMAT}"
            raise ModelError(f"{what}; update it")
        return content

    def read_json(self, name: str) -> dict[str, Any]:
        """The content of a JSON file that the manifest vouches for."""
        return self.parse(name, self.read(name))

    def load(self, graph: str) -> None:
        """Open the graph to run: ``onnx/model.onnx``, or ``onnx/generate.onnx``."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a step is too small to share: more threads only wait
        options.enable_cpu_mem_arena = False  # for tensors this small, malloc is faster
        options.log_severity_level = 3  # it warns about shapes that are dynamic on purpose
        self.session = onnxruntime.InferenceSession(
            self.read(graph), options, ["CPUExecutionProvider"]
        )

    def tensor(self, name: str, stored: Any, sizes: dict[str, int]) -> Array:
        """A tensor of a JSON file; ``sizes`` learns those of the dynamic axes."""
        spec, shape = self.specs[name], stored["shape"]
        for axis, size in zip(spec["shape"], shape, strict=True):
            known = sizes.setdefault(axis, size) if isinstance(axis, str) else axis
            if size < 1 or size != known:
                raise ValueError(f"{name} has shape {shape}")
        array = np.array(stored["data"], spec["type"]).reshape(shape)
        if array.dtype.kind != "f" and array.ravel().tolist() != stored["data"]:
            raise ValueError(f"{name} has numbers that are no {spec['type']}")
        return array

    def initial_states(self) -> Tensors:
        """The states that one stream starts from; none for models of whole sequences."""
        states: Tensors = {}
        for pair in self.pairs:
            name = pair["input"]
            spec = self.specs[name]
            if isinstance(pair["initial"], str):
                stored = self.read_json(pair["initial"])["states"]
                states[name] = self.tensor(name, stored[name], {})
            else:
                one = [1 if isinstance(axis, str) else axis for axis in spec["shape"]]
                states[name] = np.full(one, pair["initial"], spec["type"])
        return states

    def step(self, inputs: Tensors, states: Tensors) -> tuple[Tensors, Tensors]:
        """Outputs and next states of one call, of any number of streams and steps."""
        results = self.session.run(None, {**inputs, **states})
        names = (spec["name"] for spec in self.manifest["outputs"])
        found: Tensors = dict(zip(names, results, strict=True))
        following = {before: found.pop(after) for before, after in self.states.items()}
        return found, following

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
            **self.initial_states(),
        }
        (state,) = self.states
        for start in range(0, length, CHUNK):
            uniform = [next(numbers) for _ in range(min(CHUNK, length - start))]
            feeds["uniform"] = np.array([uniform], np.float32)
            text, _, feeds[state] = self.session.run(None, feeds)
            feeds["prompt"] = np.zeros((1, 0), np.int64)  # the state has read it
            yield "".join(map(chr, text[0]))


def sha256(data: bytes) -> str:
    """The digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def state_pairs(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The states; format 1 has one at most."""
    if manifest["format"] > 1:
        return list(manifest["states"])
    return [manifest["state"]] if manifest["state"] else []


def check_manifest(manifest: dict[str, Any]) -> None:
    """Raise ValueError for a manifest that is not of a model as this program runs them."""
    inputs, outputs = ({s["name"]: s for s in manifest[side]} for side in ("inputs", "outputs"))
    specs = manifest["inputs"] + manifest["outputs"]
    fits = manifest["task"] in ("series", "text", None) and len(inputs | outputs) == len(specs)
    for spec in specs:
        sizes = [axis for axis in spec["shape"] if not isinstance(axis, str)]
        whole = all(type(size) is int and size > 0 for size in sizes)
        fits &= spec["type"] in TYPES and whole and math.prod(sizes) < 2**26
    for pair in state_pairs(manifest):
        before, after = inputs.pop(pair["input"]), outputs.pop(pair["output"])
        fits &= (before["type"], before["shape"]) == (after["type"], after["shape"])
        fits &= pair["initial"] == "initial.json" or isinstance(pair["initial"], (int, float))
    if not (fits and inputs and outputs and NAME.fullmatch(manifest["name"])):
        raise ValueError("its name, task, types, shapes or states are those of no model")


def random_numbers(seed: int) -> Iterator[float]:
    """Numbers from 0 to 1 by xorshift32, the same in every language."""
    x = seed * 0x9E3779B9 % 2**32 | 1
    while True:
        x ^= (x << 13) % 2**32
        x ^= x >> 17
        x ^= (x << 5) % 2**32
        yield (x >> 8) / 2**24
