"""Embedded projects of every kind, their programs, and what the programs answer."""

import json
import shutil
import subprocess
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TEXT, write_tiny_bundle
from numpy.typing import NDArray
from shared import once, shared
from tiny import data_of, edit_sealed, missing, open_session, series_config, text_config, trained

from pipeline.bundle import open_bundle
from pipeline.checkpoint import save_checkpoint
from pipeline.config import Config
from pipeline.config.presets import override, with_columns
from pipeline.contract.law import FLOAT32, LESS_THAN_FLOAT32, Tolerance
from pipeline.data import Series, Text
from pipeline.embed.building import build
from pipeline.embed.project import write_project
from pipeline.embed.targets import TARGETS
from pipeline.errors import UnavailableError
from pipeline.train.scores import score

KEYS = [
    "target",
    "runtime",
    "model",
    "calls",
    "outputs",
    "states",
    "share",
    "microseconds_per_step",
    "passed",
]
COMPILED_IN = (
    "c",
    "c-integer",
    "wasm",
)  # their weights and the sampler are code, not files of the bundle


@dataclass(frozen=True)
class Programs:
    """The two programs of a built project, as commands to which options are added.

    ``takes_models`` is False where the weights are inside the program, so that ``--model`` only
    says where the manifest and the golden calls are.
    """

    target: str
    replay: Sequence[str | Path]
    example: Sequence[str | Path]

    @property
    def takes_models(self) -> bool:
        return self.target not in COMPILED_IN

    @property
    def tolerance(self) -> Tolerance:
        """That of the precision in which the target computes."""
        return LESS_THAN_FLOAT32.get(TARGETS[self.target].precision, FLOAT32)

    def unit(self, folder: Path) -> float:
        """What errors are counted in: of fixed point, the deviation of a series."""
        scaler = manifest_of(folder).get("scaler")
        fixed = TARGETS[self.target].precision == "int16"
        return float(scaler["output_std"][-1]) if fixed and scaler else 1.0

    def reads(self, program: str, folder: Path) -> list[str]:
        """The listed files of the bundle that a program reads."""
        golden = ["golden.json"] if program == "replay" else []
        if not self.takes_models:
            return golden
        if self.target == "cpp-libtorch":
            return [*golden, "model.pt"]
        writes_text = program == "example" and manifest_of(folder)["task"] == "text"
        return [*golden, f"onnx/{'generate' if writes_text else 'model'}.onnx"]


@dataclass(frozen=True)
class Answer:
    """What a program left."""

    code: int
    out: str
    err: str

    def refused(self, code: int, *words: str) -> None:
        """It ended with ``code`` and one line, of text alone, that has all of ``words``."""
        assert self.code == code, (self.code, self.err)
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        assert [one for one in lines[0] if unicodedata.category(one) == "Cc"] == []
        assert [word for word in words if word not in lines[0]] == []


def run(
    command: Sequence[str | Path], *options: str | Path, stdin: str = "", **keywords: Any
) -> Answer:
    """Run a program to its end."""
    done = subprocess.run(
        [*map(str, command), *map(str, options)],
        input=stdin.encode(),
        capture_output=True,
        timeout=120,
        check=False,
        **keywords,
    )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


def project_of(target: str, kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was built once; a tool that is not there skips the test, or fails it in CI."""
    kind = kind if target in COMPILED_IN else "series"
    bundle = bundle_of(kind, tmp_path_factory)

    def make(folder: Path) -> None:
        try:
            TARGETS[target].require()
            write_project(open_bundle(bundle), TARGETS[target], folder, force=True)
            build(TARGETS[target], folder)
        except UnavailableError as error:
            missing(str(error))

    return once(shared(tmp_path_factory) / "projects" / f"{target}-{kind.replace(' ', '-')}", make)


def programs_of(target: str, kind: str, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """The programs of such a project."""
    project = project_of(target, kind, tmp_path_factory)
    command = TARGETS[target].replay
    example = [word.replace("replay", "example") for word in command]
    places = {word: project / word for word in (*command, *example) if (project / word).exists()}
    replays, examples = ([places.get(word, word) for word in words] for words in (command, example))
    return Programs(target, replays, examples)


FORMAT_1 = Path(__file__).with_name("data") / "format1"
KINDS = ("series", "text", "two columns", "projected", "both directions", "text, both directions")


def bundle_of(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny bundle, which no test may change."""

    def make(folder: Path) -> None:
        config, data = _model_and_data(kind)
        trainer = trained(config, data)
        scores = score(trainer.best_network(), data)
        save_checkpoint(folder / "checkpoint", trainer, config, data, scores)
        write_tiny_bundle(folder / "checkpoint", folder / "bundle")

    return once(shared(tmp_path_factory) / "embedded" / kind.replace(", ", "-"), make) / "bundle"


def _model_and_data(kind: str) -> tuple[Config, Series | Text]:
    """A model of each kind: several layers, several columns, projections, whole sequences."""
    if kind.startswith("text"):
        options = {"bidirectional": True, "readout": "last"} if "both" in kind else {}
        return text_config("gru", num_layers=2, **options), Text(TEXT)
    if kind == "two columns":  # it reads both, and forecasts both
        wave = np.sin(np.arange(200))
        values = np.stack([wave, 50 + 10 * np.roll(wave, 1)], axis=1).astype(np.float32)
        source = {"kind": "series", "file": "waves.csv"}
        config = with_columns(override(series_config("gru"), {"source": source}), ("a", "b"), 2)
        return config, Series(values, 1, held_out=values, targets=2, columns=("a", "b"))
    kinds: dict[str, dict[str, object]] = {
        "series": {"num_layers": 2},
        "projected": {"proj_size": 2, "bias": False},
        "both directions": {"bidirectional": True, "readout": "final"},
    }
    config = series_config("lstm", **kinds[kind])
    data = data_of(config)
    assert isinstance(data, Series)
    return config, data


def manifest_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return content


def copy_of(folder: Path, scratch: Path) -> Path:
    """A new copy of a bundle, to be damaged."""
    place = scratch / f"copy-{len(list(scratch.iterdir()))}"
    return Path(shutil.copytree(folder, place))


def edit(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file of a bundle, and its digest in the manifest, so that it is whole."""
    if name == "manifest.json":
        edit_sealed(folder / name, change)
        return
    content = json.loads((folder / name).read_bytes())
    change(content)
    replace(folder, name, json.dumps(content).encode())


def replace(folder: Path, name: str, data: bytes) -> None:
    """Put ``data`` in the place of a file of a bundle, and list it in the manifest."""
    (folder / name).write_bytes(data)
    entry = {"sha256": sha256(data).hexdigest(), "bytes": len(data)}
    edit(folder, "manifest.json", lambda manifest: manifest["files"].update({name: entry}))


def xorshift32(seed: int, count: int) -> NDArray[np.float32]:
    """The random numbers that programs in all languages draw."""
    x, numbers = (seed * 0x9E3779B9) % 2**32 | 1, []
    for _ in range(count):
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        numbers.append((x >> 8) / 2**24)
    return np.array(numbers, np.float32)


def expected_text(
    folder: Path,
    prompt: str = "",
    length: int = 200,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 1,
) -> str:
    """What ``onnx/generate.onnx`` writes in one call."""
    session = open_session(folder / "onnx" / "generate.onnx")
    feeds = {
        "prompt": np.array([[ord(character) for character in prompt]], np.int64),
        "uniform": xorshift32(seed, length)[None],
        "temperature": np.array(temperature, np.float32),
        "top_k": np.array(top_k, np.int64),
        "top_p": np.array(top_p, np.float32),
        "state": zero_state(folder),
    }
    return "".join(map(chr, session.run(["text"], feeds)[0][0]))


def expected_outputs(folder: Path, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """What ``onnx/model.onnx`` says after each of ``rows`` ``[time, features]``, in one call."""
    session = open_session(folder / "onnx" / "model.onnx")
    outputs = session.run(["output"], {"input": rows[None], "state": zero_state(folder)})
    output: NDArray[np.float32] = outputs[0][0]
    return output


def zero_state(folder: Path) -> NDArray[np.float32]:
    """What a stream of a built-in network starts from."""
    _, state = manifest_of(folder)["inputs"]
    return np.zeros([1, *state["shape"][1:]], np.float32)


def csv(rows: NDArray[np.float32]) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in rows.tolist())


def series_rows(folder: Path, steps: int = 20) -> NDArray[np.float32]:
    """Rows that a series model of any number of features can read, around its mean."""
    scaler = manifest_of(folder)["scaler"]
    distances = np.random.default_rng(7).uniform(-1, 1, (steps, len(scaler["input_mean"])))
    numbers = distances * scaler["input_std"] + scaler["input_mean"]
    return np.asarray(numbers, np.float32)


def line_of(answer: Answer) -> dict[str, Any]:
    """The one line of JSON of a replay, whose keys and types are those of the contract."""
    assert answer.out.endswith("\n"), answer
    assert answer.out.count("\n") == 1, answer
    line: dict[str, Any] = json.loads(answer.out, parse_constant=lambda name: pytest.fail(name))
    assert list(line) == KEYS
    assert isinstance(line["calls"], int)
    assert isinstance(line["passed"], bool)
    assert line["runtime"]
    assert line["microseconds_per_step"] > 0
    return line


def refuses_changed_files(programs: Programs, program: str, folder: Path, scratch: Path) -> None:
    """One bit, or one byte at the end, or no file at all."""
    command = programs.replay if program == "replay" else programs.example
    for name in programs.reads(program, folder):
        data = (folder / name).read_bytes()
        middle = len(data) // 2
        one_bit = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        for changed in (one_bit, data + b"\n"):
            copy = copy_of(folder, scratch)
            (copy / name).write_bytes(changed)
            run(command, "--model", copy).refused(5, name, "changed after its export")
            shutil.rmtree(copy)
        copy = copy_of(folder, scratch)
        (copy / name).unlink()
        run(command, "--model", copy).refused(3, name)
        (copy / name).mkdir()
        run(command, "--model", copy).refused(3, name)
        (copy / name).rmdir()
        (copy / name).write_bytes(data)
        edit(copy, "manifest.json", lambda content, name=name: content["files"].pop(name))  # type: ignore[misc]
        run(command, "--model", copy).refused(3, "manifest")
