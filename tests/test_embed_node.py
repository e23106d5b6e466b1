"""The project of the target node, and the JavaScript that it shares with others."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedded import (
    Programs,
    bundle_of,
    copy_of,
    expected_text,
    programs_of,
    project_of,
    replace,
    run,
    xorshift32,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import missing, tool

from pipeline.bundle import open_bundle
from pipeline.embed.javascript import MODULES as FOLDER
from pipeline.embed.project import write_project
from pipeline.embed.targets import TARGETS

MODULES = ("bundle", "golden", "random", "tensors")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project_of("node", "series", tmp_path_factory)


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return programs_of("node", "series", tmp_path_factory)


@pytest.fixture(scope="session")
def text_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of("text", tmp_path_factory)


# ---- the programs, where Node has ways of its own


def test_the_bundle_is_beside_the_programs(programs: Programs, tmp_path: Path) -> None:
    assert run(programs.replay, cwd=tmp_path).code == 0


def test_a_project_that_is_not_installed(project: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    write_project(open_bundle(project / "model"), TARGETS["node"], bare)
    for program in ("replay.mjs", "example.mjs"):
        run(["node", bare / program]).refused(7, "onnxruntime-node", "npm install")


def test_a_graph_that_the_runtime_cannot_load(
    programs: Programs, project: Path, tmp_path: Path
) -> None:
    copy = copy_of(project / "model", tmp_path)
    replace(copy, "onnx/model.onnx", b"no graph")
    run(programs.replay, "--model", copy).refused(7, "onnxruntime-node", "onnx/model.onnx")


def test_a_seed_may_be_negative(programs: Programs, text_bundle: Path) -> None:
    answer = run(programs.example, "--model", text_bundle, "--seed=-3", "--length=20")
    assert answer.out == expected_text(text_bundle, seed=-3, length=20) + "\n"


@pytest.mark.parametrize("number", ["0x10", "0b1", "Infinity", "1_0", "1e", "--1"])
def test_numbers_are_decimal(programs: Programs, text_bundle: Path, number: str) -> None:
    run(programs.example, stdin=f"{number}\n").refused(3, "line 1")
    run(programs.example, "--model", text_bundle, f"--length={number}").refused(2, number)


def test_a_wrong_line_ends_the_program_at_once(programs: Programs) -> None:
    """Whoever writes to it may wait for the answer, and keep the pipe open."""
    with subprocess.Popen(
        list(map(str, programs.example)), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin
        process.stdin.write(b"0.1\nx\n")
        process.stdin.flush()
        assert process.wait(timeout=30) == 3


def test_a_reader_who_goes_away_is_no_error(programs: Programs, text_bundle: Path) -> None:
    command = [*programs.example, "--model", text_bundle, "--length=1000000"]
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(5)
        process.stdout.close()
        assert process.wait(timeout=30) == 0
        assert process.stderr.read() == b""


def test_output_that_cannot_be_written(programs: Programs) -> None:
    if not Path("/dev/full").exists():
        missing("there is no /dev/full")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            list(map(str, programs.replay)), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 3
    assert done.stderr.startswith(b"error: ")
    assert done.stderr.count(b"\n") == 1


# ---- the shared modules


def answered(script: str, given: Any = None) -> Any:
    """What the body of a function says, to which ``given`` and the shared modules are known."""
    modules = [(FOLDER / f"{name}.mjs").as_uri() for name in MODULES]
    imports = "".join(
        f"import * as {name} from {json.dumps(uri)};\n"
        for name, uri in zip(MODULES, modules, strict=True)
    )
    body = f"async function answer(given) {{ {script} }}\n"
    end = f"console.log(JSON.stringify(await answer({json.dumps(given)})));"
    answer = run([tool("node"), "--input-type=module", "--eval", imports + body + end])
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(-(2**53) + 1, 2**53 - 1), min_size=1, max_size=200))
def test_random_numbers_are_those_of_other_languages(seeds: list[int]) -> None:
    seeds = [*seeds, 0, 1, 2**32 - 1, 2**32]
    found = answered(
        "return given.map((seed) => Array.from({ length: 20 }, random.uniforms(seed)))", seeds
    )
    assert found == [xorshift32(seed, 20).tolist() for seed in seeds]


# A model that adds: its output is input + state, and its next state the output.
ADDING = """
  const tensor = (...data) => (
    { type: "float32", shape: [1, data.length, 1], data: Float32Array.from(data) });
  const call = ({ x }, { s }) => {
    const sum = tensor(x.data[0] + s.data[0]);
    return { outputs: { y: sum }, states: { s: sum } };
  };
  const calls = [1, 3].map((sum, index) => (
    { inputs: { x: tensor(index + 1) }, outputs: { y: tensor(sum) }, states: { s: tensor(sum) } }));
  const trajectories = [{ states: { s: tensor(0) }, calls }];
  const adding = { tolerance: { atol: 0.5, rtol: 0.25 }, trajectories };
"""


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("", {"outputs": 0, "states": 0, "share": 0, "passed": True}),
        ("calls[1].outputs.y = tensor(4)", {"outputs": 1, "share": 1 / 1.5, "passed": True}),
        ("calls[1].outputs.y = tensor(-4)", {"outputs": 7, "share": 7 / 1.5, "passed": False}),
        ("calls[0].states.s = tensor(2)", {"outputs": 0, "states": 1, "share": 1}),
        ("calls[0].inputs.x = tensor(NaN)", {"outputs": None, "states": None, "passed": False}),
        ("calls[1].outputs.y = tensor(3, 3)", {"outputs": None, "states": 0, "passed": False}),
        (
            "calls[1].outputs.y = { ...tensor(4), type: 'int32' }",
            {"outputs": 1, "share": None, "passed": False},
        ),
    ],
)
def test_a_replay(change: str, found: dict[str, Any]) -> None:
    result = answered(f"{ADDING}; {change}; return golden.replay(adding, call)")
    assert result["calls"] == 2
    assert {name: result[name] for name in found} == pytest.approx(found)


@settings(max_examples=5, deadline=None)
@given(st.lists(st.floats(-70000, 70000) | st.floats(-1e-4, 1e-4), min_size=1, max_size=200))
def test_numbers_are_rounded_to_float16_as_numpy_does(numbers: list[float]) -> None:
    numbers = [*numbers, 0, 65504, 65520, 2**-24, 2**-25, 3 * 2**-25, 2049, 2051]
    found = answered(
        """const tensor = tensors.tensor("float16", [], given);
        return [Array.from(tensor.data), tensors.numbersOf(tensor).map(String)]""",
        numbers,
    )
    with np.errstate(over="ignore"):
        halves = np.array(numbers, np.float16)
    assert found[0] == halves.view(np.uint16).tolist()
    assert [float(one) for one in found[1]] == [*map(float, halves)]


@pytest.mark.parametrize(
    ("kind", "number", "held"),
    [
        ("int8", -128, True),
        ("int8", 128, False),
        ("uint64", -1, False),
        ("int64", 0.5, False),
        ("int64", 2**53, False),  # which JSON in JavaScript may have rounded
        ("bool", 1, True),
        ("bool", 2, False),
        ("float32", "1", False),
    ],
)
def test_a_type_holds_its_numbers_alone(kind: str, number: Any, held: bool) -> None:
    assert answered("return tensors.holds(given[0], [given[1]])", [kind, number]) is held


@pytest.mark.parametrize("tick", [0.005, 1, 16])
def test_a_step_is_timed_by_a_clock_that_seldom_ticks(tick: float) -> None:
    """A step of 20 microseconds; a round may end a tick late, and 20 ms are its least."""
    script = f"""{ADDING}
      let now = 0;
      const slow = (...tensors) => {{ now += 0.02; return call(...tensors); }};
      performance.now = () => Math.floor(now / given) * given;
      return golden.timeStep(adding, slow)"""
    assert answered(script, tick) == pytest.approx(20, rel=tick / 20)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "onnx/../../x", "c:x", "a\\b", "lacking"])
def test_files_are_listed_and_in_the_bundle(name: str) -> None:
    """Whatever the manifest says; the reader is not asked."""
    script = """
      const files = given === "lacking" ? {} : { [given]: { bytes: 1, sha256: "" } };
      const specs = (...names) => names.map((name) => ({ name, type: "float32", shape: [] }));
      const [inputs, outputs] = [specs("x"), specs("y")];
      const model = { name: "model", task: "series", state: null, inputs, outputs };
      const manifest = { format: 1, ...model, files };
      const read = [];
      const { read: file } = await bundle.openBundle(async (name) => {
        read.push(name);
        return new TextEncoder().encode(JSON.stringify(manifest));
      });
      const error = await file(given).catch((error) => error);
      return [error instanceof bundle.BundleError, error.code, read];
    """
    assert answered(script, name) == [True, 3, ["manifest.json"]]
