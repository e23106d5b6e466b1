"""What the programs of every embedded project must do: their contract, as checks to run.

A check gets the programs of a project, the folder of a bundle that must not be changed, and an
empty folder to put a damaged copy in. It says nothing of a bundle that it does not concern: the
text of a series. :data:`CHECKS` lists them with the kinds of bundles that they are run on.
"""

import json
import math
import os
import select
import shutil
import subprocess
import time
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
from pipeline.data import Series, Text
from pipeline.embed.project import write_project
from pipeline.embed.replay import build
from pipeline.embed.targets import TARGETS
from pipeline.errors import UnavailableError
from pipeline.storage import canonical_json
from pipeline.train.scores import score

KEYS = [
    "target",
    "runtime",
    "model",
    "calls",
    "output",
    "next_state",
    "share",
    "microseconds_per_step",
    "passed",
]
COMPILED_IN = ("c", "wasm")  # their weights and the sampler are code, not files of the bundle


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
    state = manifest_of(folder)["state"]["shape"][1:]
    feeds = {
        "prompt": np.array([[ord(character) for character in prompt]], np.int64),
        "uniform": xorshift32(seed, length)[None],
        "temperature": np.array(temperature, np.float32),
        "top_k": np.array(top_k, np.int64),
        "top_p": np.array(top_p, np.float32),
        "state": np.zeros([1, *state], np.float32),
    }
    return "".join(map(chr, session.run(["text"], feeds)[0][0]))


def expected_outputs(folder: Path, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """What ``onnx/model.onnx`` says after each of ``rows`` ``[time, features]``, in one call."""
    session = open_session(folder / "onnx" / "model.onnx")
    state = np.zeros([1, *manifest_of(folder)["state"]["shape"][1:]], np.float32)
    outputs = session.run(["output"], {"input": rows[None], "state": state})
    output: NDArray[np.float32] = outputs[0][0]
    return output


def csv(rows: NDArray[np.float32]) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in rows.tolist())


def series_rows(folder: Path, steps: int = 20) -> NDArray[np.float32]:
    """Rows that a series model of any number of features can read."""
    features = manifest_of(folder)["inputs"][0]["shape"][2]
    numbers = np.random.default_rng(7).normal(size=(steps, features))
    return numbers.astype(np.float32)


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


# ---- replay


def replay_passes(programs: Programs, folder: Path, scratch: Path) -> None:
    answer = run(programs.replay, "--model", folder)
    assert (answer.code, answer.err) == (0, "")
    line, manifest = line_of(answer), manifest_of(folder)
    golden = json.loads((folder / "golden.json").read_bytes())
    assert (line["target"], line["model"]) == (programs.target, manifest["name"])
    assert line["calls"] == sum(len(one["calls"]) for one in golden["trajectories"])
    assert line["passed"]
    assert 0 <= line["share"] < 0.5
    assert 0 <= line["output"] < 1e-2  # input that training did not know may be large
    assert 0 <= line["next_state"] < 1e-2
    if manifest["state"] is None:
        assert line["next_state"] == 0


def replay_finds_changed_numbers(programs: Programs, folder: Path, scratch: Path) -> None:
    """In the last call of the last trajectory, and 0.1 off; just that is reported."""
    for name in ("output", "next_state"):
        copy = copy_of(folder, scratch)
        if name == "next_state" and manifest_of(copy)["state"] is None:
            continue
        expected: list[float] = []

        def change(golden: dict[str, Any], name: str = name, kept: list[float] = expected) -> None:
            data = golden["trajectories"][-1]["calls"][-1][name]["data"]
            data[-1] += 0.1
            kept.append(data[-1])

        edit(copy, "golden.json", change)
        answer = run(programs.replay, "--model", copy)
        line = line_of(answer)
        assert (answer.code, answer.err, line["passed"]) == (1, "", False)
        assert line[name] == pytest.approx(0.1, rel=0.02)
        allowed = 1e-5 + 1e-4 * abs(expected[0])
        assert line["share"] == pytest.approx(0.1 / allowed, rel=0.02)


def replay_carries_its_own_state(programs: Programs, folder: Path, scratch: Path) -> None:
    """A trajectory that starts elsewhere is off from its first call on."""
    if manifest_of(folder)["state"] is None:
        return
    copy = copy_of(folder, scratch)

    def change(golden: dict[str, Any]) -> None:
        data = golden["trajectories"][0]["state"]["data"]
        data[:] = [value + 0.5 for value in data]

    edit(copy, "golden.json", change)
    assert run(programs.replay, "--model", copy).code == 1


def replay_finds_what_is_not_finite(programs: Programs, folder: Path, scratch: Path) -> None:
    """A number of the golden calls beyond float32 is infinitely far; JSON has null for that."""
    copy = copy_of(folder, scratch)

    def change(golden: dict[str, Any]) -> None:
        golden["trajectories"][0]["calls"][0]["output"]["data"][0] = 1e300

    edit(copy, "golden.json", change)
    answer = run(programs.replay, "--model", copy)
    assert answer.code == 1
    line = line_of(answer)
    assert (line["output"], line["share"], line["passed"]) == (None, None, False)
    assert line["next_state"] is not None


def replay_refuses_wrong_shapes(programs: Programs, folder: Path, scratch: Path) -> None:
    """Golden tensors whose data do not fill their shape, or whose shape is not the model's."""

    def too_few(tensor: dict[str, Any]) -> None:
        tensor["data"].pop()

    def too_many(tensor: dict[str, Any]) -> None:
        tensor["data"].append(0)

    def one_axis_more(tensor: dict[str, Any]) -> None:
        tensor["shape"].append(1)

    def wider(tensor: dict[str, Any]) -> None:
        tensor["shape"][-1] += 1
        tensor["data"] = [0] * math.prod(tensor["shape"])

    def negative(tensor: dict[str, Any]) -> None:
        tensor["shape"][:2] = [-size for size in tensor["shape"][:2]]

    def empty(tensor: dict[str, Any]) -> None:
        tensor["shape"][0], tensor["data"] = 0, []

    def text_for_numbers(tensor: dict[str, Any]) -> None:
        tensor["data"][0] = "one"

    names = ["input", "output"] + ["next_state"] * (manifest_of(folder)["state"] is not None)
    changes = [too_few, too_many, one_axis_more, negative, empty, text_for_numbers]
    cases = [(name, change) for name in names for change in changes]
    cases += [("output", wider)]
    for name, change in cases:
        copy = copy_of(folder, scratch)
        edit(
            copy,
            "golden.json",
            lambda golden, name=name, change=change: change(  # type: ignore[misc]
                golden["trajectories"][0]["calls"][0][name]
            ),
        )
        answer = run(programs.replay, "--model", copy)
        assert (name, change.__name__, answer.code, answer.out) == (name, change.__name__, 3, "")
        answer.refused(3, "golden")


def replay_refuses_what_is_no_golden_file(programs: Programs, folder: Path, scratch: Path) -> None:
    def nothing_to_compare(golden: dict[str, Any]) -> None:
        golden["trajectories"] = []

    def without_tolerance(golden: dict[str, Any]) -> None:
        del golden["tolerance"]

    def calls_of_another_type(golden: dict[str, Any]) -> None:
        golden["trajectories"][0]["calls"] = 3

    for change in (nothing_to_compare, without_tolerance, calls_of_another_type):
        copy = copy_of(folder, scratch)
        edit(copy, "golden.json", change)
        run(programs.replay, "--model", copy).refused(3, "golden")
    for data in (b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000):
        copy = copy_of(folder, scratch)
        replace(copy, "golden.json", data)
        run(programs.replay, "--model", copy).refused(3, "golden")


def refuses_newer_formats(programs: Programs, folder: Path, scratch: Path) -> None:
    for name in ("manifest.json", "golden.json"):
        copy = copy_of(folder, scratch)
        edit(copy, name, lambda content: content.update(format=2))
        answer = run(programs.replay, "--model", copy)
        answer.refused(3, name, "format 2", "reads 1", "update")


def refuses_what_is_no_manifest(programs: Programs, folder: Path, scratch: Path) -> None:
    for data in (b"", b"{", b"[]", b"{}", b'{"format": 1}', b"\xff", b"[" * 100_000, b"\x1b[2J"):
        copy = copy_of(folder, scratch)
        (copy / "manifest.json").write_bytes(data)
        run(programs.replay, "--model", copy).refused(3, "manifest")
    for name in ("files", "inputs", "outputs") if programs.takes_models else ("files",):
        for value in (None, 5, [5]):
            copy = copy_of(folder, scratch)
            edit(copy, "manifest.json", lambda content, n=name, v=value: content.update({n: v}))  # type: ignore[misc]
            run(programs.replay, "--model", copy).refused(3, "manifest")


def sees_every_flipped_bit_of_the_manifest(programs: Programs, folder: Path, scratch: Path) -> None:
    """In and about the seal, and all over the rest."""
    copy = copy_of(folder, scratch)
    data = (folder / "manifest.json").read_bytes()
    places = [*range(0, 84, 6), *range(84, len(data), len(data) // 12)]
    for count, place in enumerate(places):
        changed = bytearray(data)
        changed[place] ^= 1 << count % 8
        (copy / "manifest.json").write_bytes(changed)
        answer = run(programs.replay, "--model", copy)
        assert answer.code in (3, 5), (place, answer)
        answer.refused(answer.code, "manifest.json")


def refuses_a_manifest_of_no_model(programs: Programs, folder: Path, scratch: Path) -> None:
    """Sizes that no memory could hold, and what is no size, type or name."""
    if not programs.takes_models:
        return
    for change in (
        lambda manifest: manifest["inputs"][1].update(shape=["batch", 10**6, 10**6]),
        lambda manifest: manifest["inputs"][1].update(shape=["batch", -5, 4]),
        lambda manifest: manifest["inputs"][1].update(shape=["batch", 10**30, 4]),
        lambda manifest: manifest["outputs"][0].update(shape=["batch", "time", 0.5]),
        lambda manifest: manifest["inputs"][0].update(type="float16"),
        lambda manifest: manifest["inputs"][0].pop("shape"),
        lambda manifest: manifest["inputs"].pop(0),
    ):
        copy = copy_of(folder, scratch)
        edit(copy, "manifest.json", change)
        run(programs.replay, "--model", copy).refused(3, "manifest")


def reads_manifests_of_earlier_versions(programs: Programs, folder: Path, scratch: Path) -> None:
    """They have no seal."""
    copy = copy_of(folder, scratch)
    content = manifest_of(copy)
    del content["sha256"]
    (copy / "manifest.json").write_bytes(canonical_json(content))
    assert run(programs.replay, "--model", copy).code == 0


def replay_refuses_a_tolerance_that_proves_nothing(
    programs: Programs, folder: Path, scratch: Path
) -> None:
    for name, value in (("rtol", 1e9), ("atol", 1e-4), ("atol", -1.0)):
        copy = copy_of(folder, scratch)

        def change(golden: dict[str, Any], name: str = name, value: float = value) -> None:
            golden["tolerance"][name] = value

        edit(copy, "golden.json", change)
        run(programs.replay, "--model", copy).refused(3, "golden", "proves nothing")


def waits_for_no_pipe(programs: Programs, folder: Path, scratch: Path) -> None:
    for name in ("manifest.json", "golden.json"):
        copy = copy_of(folder, scratch)
        (copy / name).unlink()
        os.mkfifo(copy / name)
        run(programs.replay, "--model", copy).refused(3, name)


def replay_refuses_changed_files(programs: Programs, folder: Path, scratch: Path) -> None:
    _refuses_changed_files(programs, "replay", folder, scratch)


def _refuses_changed_files(programs: Programs, program: str, folder: Path, scratch: Path) -> None:
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


def replay_refuses_missing_folders(programs: Programs, folder: Path, scratch: Path) -> None:
    run(programs.replay, "--model", scratch / "nowhere").refused(3, "manifest.json", "nowhere")


def replay_refuses_wrong_usage(programs: Programs, folder: Path, scratch: Path) -> None:
    for options in (["--modle", folder], ["--model"], ["more"], ["--length", "3"]):
        answer = run(programs.replay, *options)
        answer.refused(2)
        assert answer.out == ""


# ---- example


def _is_text(folder: Path) -> bool:
    manifest = manifest_of(folder)
    return manifest["task"] == "text" and manifest["state"] is not None


def _is_series(folder: Path) -> bool:
    manifest = manifest_of(folder)
    return manifest["task"] == "series" and manifest["state"] is not None


def _model(programs: Programs, folder: Path) -> list[str | Path]:
    return ["--model", folder] if programs.takes_models else []


def example_writes_text(programs: Programs, folder: Path, scratch: Path) -> None:
    """The text of ``onnx/generate.onnx``, over more than one piece of 16 characters."""
    if not _is_text(folder):
        return
    cases: list[dict[str, Any]] = [
        {},
        {"temperature": 0},
        {"length": 0},
        {"length": 1},
        {"length": 16, "seed": 5},
        {"length": 17, "seed": 6, "prompt": "the cat"},
        {"prompt": "naïve 🦊 \x01", "length": 40, "seed": 0},
        {"prompt": "the dog", "temperature": 0.7, "top_k": 3, "length": 100, "seed": 2},
        {"temperature": 1.5, "top_p": 0.8, "length": 100, "seed": 2**32 - 1},
        {"temperature": 0.9, "top_p": 1e-6, "length": 50, "seed": 2**40 + 7},
        {"temperature": 0.8, "top_k": 5000, "top_p": 0.9, "length": 50, "seed": 12345},
    ]
    for given in cases:
        options = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
        answer = run(programs.example, *_model(programs, folder), *options)
        assert (answer.code, answer.err) == (0, "")
        assert answer.out == expected_text(folder, **given) + "\n", given


def example_forecasts(programs: Programs, folder: Path, scratch: Path) -> None:
    """A line for every line, with the numbers of the model; blanks and CRLF do no harm."""
    if not _is_series(folder):
        return
    rows = series_rows(folder)
    expected = expected_outputs(folder, rows)
    texts = [csv(rows), csv(rows)[:-1], csv(rows).replace("\n", "\r\n").replace(",", " , ")]
    for text in texts:
        answer = run(programs.example, *_model(programs, folder), stdin=text)
        assert (answer.code, answer.err) == (0, "")
        found = [[float(value) for value in line.split(",")] for line in answer.out.splitlines()]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        assert max(map(len, answer.out.replace("\n", ",").split(","))) >= 9  # digits enough
    assert run(programs.example, *_model(programs, folder)) == Answer(0, "", "")


def example_answers_at_once(programs: Programs, folder: Path, scratch: Path) -> None:
    """The forecast of a line is there before the next line is."""
    if not _is_series(folder):
        return
    command = [*programs.example, *_model(programs, folder)]
    with subprocess.Popen(
        [*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        for line in csv(series_rows(folder, 3)).splitlines():
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
            assert b"\n" in _read_some(process.stdout.fileno())
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def _read_some(descriptor: int) -> bytes:
    """What comes up to the end of a line, within half a minute."""
    read, end = b"", time.monotonic() + 30
    while b"\n" not in read and select.select([descriptor], [], [], end - time.monotonic())[0]:
        part = os.read(descriptor, 4096)
        if not part:
            break
        read += part
    return read


def example_refuses_wrong_lines(programs: Programs, folder: Path, scratch: Path) -> None:
    """What came before is answered, and the line that is wrong is named."""
    if not _is_series(folder):
        return
    good = csv(series_rows(folder, 2))
    one = good.splitlines()[0]
    for bad in (
        "x",
        "",
        f"{one},1",
        "nan" + one[one.find(",") :] if "," in one else "nan",
        f"{one},",
    ):
        answer = run(programs.example, *_model(programs, folder), stdin=f"{good}{bad}\n{one}\n")
        answer.refused(3, "line 3")
        assert answer.out.count("\n") == 2


def example_refuses_wrong_usage(programs: Programs, folder: Path, scratch: Path) -> None:
    wrong = [
        "--length=-1",
        "--length=x",
        "--length=1.5",
        "--length=",
        "--temperature=-0.1",
        "--temperature=warm",
        "--temperature=nan",
        "--top-k=-1",
        "--top-k=2.5",
        "--top-p=0",
        "--top-p=-0.5",
        "--top-p=1.01",
        "--top-p=nan",
        "--seed=a",
        "--sed=1",
        "--length",
        "--length=3x",
        "more",
    ]
    if not _is_text(folder):
        wrong = ["--modle=x", "more"]
    for option in wrong:
        answer = run(programs.example, *_model(programs, folder), option)
        assert (option, answer.code, answer.out) == (option, 2, "")
        answer.refused(2)


def example_refuses_changed_files(programs: Programs, folder: Path, scratch: Path) -> None:
    if manifest_of(folder)["state"] is not None:
        _refuses_changed_files(programs, "example", folder, scratch)


def example_refuses_whole_sequences(programs: Programs, folder: Path, scratch: Path) -> None:
    if manifest_of(folder)["state"] is None:
        run(programs.example, *_model(programs, folder)).refused(2, "whole sequences")


Check = Callable[[Programs, Path, Path], None]
CHECKS: list[Check] = [
    replay_passes,
    replay_finds_changed_numbers,
    replay_carries_its_own_state,
    replay_finds_what_is_not_finite,
    replay_refuses_wrong_shapes,
    replay_refuses_what_is_no_golden_file,
    refuses_newer_formats,
    refuses_what_is_no_manifest,
    sees_every_flipped_bit_of_the_manifest,
    refuses_a_manifest_of_no_model,
    reads_manifests_of_earlier_versions,
    replay_refuses_a_tolerance_that_proves_nothing,
    waits_for_no_pipe,
    replay_refuses_changed_files,
    replay_refuses_missing_folders,
    replay_refuses_wrong_usage,
    example_writes_text,
    example_forecasts,
    example_answers_at_once,
    example_refuses_wrong_lines,
    example_refuses_wrong_usage,
    example_refuses_changed_files,
    example_refuses_whole_sequences,
]
ON_ALL_KINDS = {
    replay_passes,
    replay_carries_its_own_state,
    example_writes_text,
    example_forecasts,
    example_refuses_whole_sequences,
}
ON_ONE_KIND = {  # what is read is the same for all
    sees_every_flipped_bit_of_the_manifest,
    refuses_a_manifest_of_no_model,
    reads_manifests_of_earlier_versions,
    replay_refuses_a_tolerance_that_proves_nothing,
    waits_for_no_pipe,
}


def _kinds(check: Check) -> Sequence[str]:
    if check in ON_ALL_KINDS:
        return KINDS
    return ("series",) if check in ON_ONE_KIND else ("series", "text")


CASES = [
    pytest.param(kind, check, id=f"{kind}: {check.__name__}")
    for check in CHECKS
    for kind in _kinds(check)
]
