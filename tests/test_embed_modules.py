"""Projects of modules and of bundles of format 1: clients take every name from the contract."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedded import FORMAT_1, Programs, copy_of, edit, line_of, programs_of, replace, run
from module_bundles import RECIPES, write_module_bundle
from numpy.typing import NDArray
from shared import once, shared
from tiny import missing, open_session, refused

from pipeline.bundle import open_bundle
from pipeline.embed.building import build
from pipeline.embed.project import project_files, write_project
from pipeline.embed.replay import Workshop, replay
from pipeline.embed.targets import TARGETS
from pipeline.errors import UnavailableError, UsageError
from pipeline.trust import Trust

RUN_ANY = ("python", "node", "cpp-onnxruntime", "cpp-libtorch")  # the browser has tests of its own
PROGRAMS = [name for name, target in TARGETS.items() if target.replay]


@pytest.fixture
def module(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a module's bundle, which no test may change."""
    root = shared(tmp_path_factory) / "modules"
    return lambda kind: once(root / kind, lambda folder: write_module_bundle(kind, folder))


@pytest.fixture(params=RUN_ANY)
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return programs_of(request.param, "series", tmp_path_factory)


@pytest.mark.parametrize("kind", RECIPES)
def test_golden_data_of_any_contract_are_replayed(
    kind: str, programs: Programs, module: Callable[[str], Path]
) -> None:
    golden = open_bundle(module(kind)).golden()
    answer = run(programs.replay, "--model", module(kind))
    assert (answer.code, answer.err) == (0, "")
    line = line_of(answer)
    assert line["passed"]
    assert line["model"] == kind
    assert line["calls"] == sum(len(one.calls) for one in golden.trajectories)
    assert line["outputs"] < 1e-5
    assert (line["states"] > 0) == (kind in ("module", "stream"))


def test_a_wrong_number_of_any_tensor_is_found(
    programs: Programs, module: Callable[[str], Path], tmp_path: Path
) -> None:
    """In the last call of the last trajectory; a wrong integer is beyond every tolerance."""
    recipe = RECIPES["module"]
    for name, (kind, _) in recipe.outputs.items():
        copy = copy_of(module("module"), tmp_path)

        def change(golden: dict[str, Any], name: str = name) -> None:
            data = golden["trajectories"][-1]["calls"][-1][name]["data"]
            data[-1] += 1

        edit(copy, "golden.json", change)
        answer = run(programs.replay, "--model", copy)
        line = line_of(answer)
        assert (name, answer.code, line["passed"]) == (name, 1, False)
        kinds = ("states", "outputs") if name.endswith("_next") else ("outputs", "states")
        assert line[kinds[0]] == pytest.approx(1, rel=1e-3)
        assert line[kinds[1]] < 1e-5
        assert (line["share"] is None) == (kind == "int64")


def test_states_start_where_the_trajectory_says(
    programs: Programs, module: Callable[[str], Path], tmp_path: Path
) -> None:
    for name in ("h.0", "count"):
        copy = copy_of(module("module"), tmp_path)

        def change(golden: dict[str, Any], name: str = name) -> None:
            golden["trajectories"][0]["states"][name]["data"][0] += 1

        edit(copy, "golden.json", change)
        assert run(programs.replay, "--model", copy).code == 1


def test_golden_data_of_another_contract_are_refused(
    programs: Programs, module: Callable[[str], Path], tmp_path: Path
) -> None:
    def lacks_a_state(trajectory: dict[str, Any]) -> None:
        del trajectory["states"]["count"]

    def lacks_an_output(trajectory: dict[str, Any]) -> None:
        del trajectory["calls"][0]["total"]

    def has_another_shape(trajectory: dict[str, Any]) -> None:
        trajectory["states"]["h.0"]["shape"] = [1, 4, 1]

    def has_one_row_more(trajectory: dict[str, Any]) -> None:
        trajectory["states"]["count"].update(shape=[2], data=[7, 7])

    def has_half_a_token(trajectory: dict[str, Any]) -> None:
        trajectory["calls"][0]["token"]["data"][0] = 0.5

    changes = (
        lacks_a_state,
        lacks_an_output,
        has_another_shape,
        has_one_row_more,
        has_half_a_token,
    )
    for change in changes:
        copy = copy_of(module("module"), tmp_path)
        edit(copy, "golden.json", lambda golden, change=change: change(golden["trajectories"][0]))  # type: ignore[misc]
        answer = run(programs.replay, "--model", copy)
        assert (change.__name__, answer.code, answer.out) == (change.__name__, 3, "")
        answer.refused(3, "golden.json")


@pytest.mark.parametrize(
    ("kind", "lines", "expected"),
    [
        ("cell", "1,2\n3, -4\n", [[0.75, 1, 0.875], [1.5, 0, 0.75]]),
        ("stream", "1,2,3,4,5,6\n" * 2, None),  # two steps of three numbers a line
    ],
)
def test_the_example_streams_a_module(
    kind: str,
    lines: str,
    expected: list[list[float]] | None,
    programs: Programs,
    module: Callable[[str], Path],
) -> None:
    answer = run(programs.example, "--model", module(kind), stdin=lines)
    assert (answer.code, answer.err) == (0, "")
    found = [[float(word) for word in line.split(",")] for line in answer.out.splitlines()]
    if expected is None:
        expected = expected_stream(module(kind), np.arange(1, 7, dtype=np.float32), len(found))
    assert len(found) == 2
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def expected_stream(folder: Path, step: NDArray[np.float32], count: int) -> list[list[float]]:
    """What ``onnx/model.onnx`` of the kind ``stream`` says when it reads ``step`` again and again.

    It reads whole what the program reads in pieces.
    """
    session = open_session(folder / "onnx" / "model.onnx")
    x = np.tile(step.reshape(1, 2, 3), (1, count, 1))
    memory = np.full((1, 1, 4), 0.25, np.float32)
    y, positive, _ = session.run(None, {"x": x, "memory": memory})
    pieces = zip(np.split(y, count, 1), np.split(positive, count, 1), strict=True)
    return [[*a.ravel().tolist(), *map(float, b.ravel())] for a, b in pieces]


@pytest.mark.parametrize("line", ["1", "1,2,3", "1,x", "1,99999", "1,0.5", "1,nan", ""])
def test_a_line_that_is_no_step_is_named(
    line: str, programs: Programs, module: Callable[[str], Path]
) -> None:
    answer = run(programs.example, "--model", module("cell"), stdin=f"1,2\n{line}\n")
    answer.refused(3, "line 2", "2 numbers")
    assert answer.out.count("\n") == 1


@pytest.mark.parametrize(
    ("kind", "words"),
    [("module", ("x and token", "Model")), ("sequence", ("whole sequences", "Model"))],
)
def test_the_example_says_which_class_to_call_instead(
    kind: str, words: tuple[str, ...], programs: Programs, module: Callable[[str], Path]
) -> None:
    answer = run(programs.example, "--model", module(kind), stdin="1\n")
    answer.refused(2, *words)
    assert answer.out == ""


def test_initial_states_of_a_file_start_the_stream(
    programs: Programs, module: Callable[[str], Path], tmp_path: Path
) -> None:
    """The same numbers in ``initial.json`` as in the manifest; and the file is needed then."""
    copy = copy_of(module("stream"), tmp_path)
    lines = "1,2,3,4,5,6\n" * 2
    by_manifest = run(programs.example, "--model", copy, stdin=lines)
    first = {"shape": [1, 1, 4], "data": [0.25] * 4}
    replace(copy, "initial.json", json.dumps({"format": 2, "states": {"memory": first}}).encode())
    edit(copy, "manifest.json", lambda content: content["states"][0].update(initial="initial.json"))
    assert run(programs.example, "--model", copy, stdin=lines) == by_manifest
    edit(copy, "initial.json", lambda content: content["states"]["memory"].update(data=[1] * 4))
    other = run(programs.example, "--model", copy, stdin=lines)
    assert other.code == 0
    assert other.out != by_manifest.out
    for change in (
        lambda content: content["states"].clear(),
        lambda content: content["states"]["memory"].update(shape=[1, 4, 1]),
    ):
        broken = copy_of(copy, tmp_path)
        edit(broken, "initial.json", change)
        run(programs.example, "--model", broken, stdin=lines).refused(3, "initial.json")
    (copy / "initial.json").unlink()
    run(programs.example, "--model", copy, stdin=lines).refused(3, "initial.json")


def test_a_project_has_the_manifest_as_it_is_and_the_initial_states(
    module: Callable[[str], Path],
) -> None:
    for name, kept in (("module", True), ("stream", False)):
        files = project_files(open_bundle(module(name)), TARGETS["python"])
        assert files["model/manifest.json"] == (module(name) / "manifest.json").read_bytes()
        assert ("model/initial.json" in files) == kept
    older = project_files(open_bundle(FORMAT_1 / "sine-gru"), TARGETS["python"])
    assert older["model/manifest.json"] == (FORMAT_1 / "sine-gru/manifest.json").read_bytes()


@pytest.mark.parametrize("target", ["c", "wasm"])
def test_what_is_generated_from_networks_refuses_modules(
    target: str, module: Callable[[str], Path]
) -> None:
    with refused(UsageError, "module is a module", "built-in networks alone"):
        project_files(open_bundle(module("module")), TARGETS[target])


def test_validation_judges_the_replay_of_a_module(module: Callable[[str], Path]) -> None:
    with Workshop("python") as workshop:
        row = workshop.replay(open_bundle(module("module")))
    assert (row.status, row.reason) == ("pass", "")
    assert row.output_error is not None
    assert row.state_error


@pytest.mark.parametrize("name", ["sine-gru", "char-lstm"])
@pytest.mark.parametrize("target", PROGRAMS)
def test_a_bundle_of_format_1_is_embedded_and_replayed(
    target: str, name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = open_bundle(FORMAT_1 / name)
    trust = Trust(everything=True)  # its TorchScript is of another version
    if target in RUN_ANY:  # one program runs all bundles
        programs = programs_of(target, "series", tmp_path_factory)
        write_project(bundle, TARGETS[target], tmp_path / "project", trust=trust)
        answer = run(programs.replay, "--model", tmp_path / "project" / "model")
        assert (answer.code, answer.err) == (0, "")
        assert line_of(answer)["model"] == name
        return
    try:
        TARGETS[target].require()
        write_project(bundle, TARGETS[target], tmp_path / "project")
        build(TARGETS[target], tmp_path / "project")
    except UnavailableError as error:
        missing(str(error))
    found = replay(TARGETS[target], tmp_path / "project")
    assert not isinstance(found, str)
    assert found.passed
