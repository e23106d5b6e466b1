"""The suite that counts: its small part finds nothing, and what it looks for it would find."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from command_line import ROOT, Here
from torture.cases import MANIFEST, Hostile, Spoil, replacing, rewriting
from torture.forked import Ended
from torture.leaves import MISSING, changed, places_of, text_of
from torture.originals import Originals
from torture.spread import Count, Finding, Plan
from torture.stages import STAGES, Before
from torture.strange import crossed, seen_in
from torture.strange_graphs import GRAPHS, spoilt
from torture.strange_json import BYTES, bytes_of
from torture.verdict import fault_of, unseen

from pipeline.bundle import Bundle, open_bundle
from pipeline.contract.manifest import FORMAT
from pipeline.errors import PipelineError
from pipeline.report.html import report_html
from pipeline.runtimes.catalog import Runtimes
from pipeline.validate import validate_bundle

STAGES_OF_THE_SUITE = {"flips", "hostile", "kills", "full-disk", "fuzz"}


def ended(code: int, err: str = "", out: str = "", **options: bool) -> Ended:
    return Ended(("inspect",), code, out, err, 0.1, **options)


def test_a_small_part_of_the_suite_finds_nothing(tmp_path: Path) -> None:
    """In a process of its own: it forks, which one with the threads of tests must not."""
    done = subprocess.run(
        [sys.executable, "-m", "torture", "--small", "--json", "--seed=3"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "tests"), str(ROOT)))},
        timeout=600,
        check=False,
    )
    assert done.stdout, done.stderr
    counts = json.loads(done.stdout)
    assert {count["stage"] for count in counts} == STAGES_OF_THE_SUITE
    assert [finding for count in counts for finding in count["findings"]] == []
    assert all(count["cases"] >= 5 and count["readings"] >= 10 for count in counts)
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("left", "fault"),
    [
        (ended(0, "wave: unchanged\n"), ""),
        (ended(5, "drawing\nerror: a.json was changed\n"), ""),
        (ended(130, "error: interrupted\n", interrupted=True), ""),
        (ended(1, 'Traceback (most recent call last):\n File "a"\nKeyError: 1\n'), "traceback"),
        (ended(1, "error: this is a fault of pipeline\n"), "exit code 1"),
        (ended(3, ""), "no one line"),
        (ended(3, "error: a\nerror: b\n"), "no one line"),
        (ended(3, "error: a\nand more\n"), "no one line"),
        (ended(3, f"error: {'x' * 2000}\n"), "a line of"),
        (ended(0, "error: a\n"), "exit code 0 after"),
        (ended(0, "", "\x1b[31mred\n"), "the terminal gets"),
        (ended(0, "a.py:3: UserWarning: beware\n"), "warns: UserWarning"),
        (ended(-11, ""), "crashes: SIGSEGV"),
        (ended(-9, "", hung=True), "hangs"),
    ],
)
def test_what_a_command_may_leave_is_told_from_what_it_may_not(left: Ended, fault: str) -> None:
    found = fault_of(left)
    assert found.startswith(fault)
    assert bool(found) == bool(fault)


@pytest.mark.parametrize("code", [0, 2, 7, 8])
def test_a_change_is_seen_only_by_the_codes_for_it(code: int) -> None:
    message = "error: something else\n" if code else ""
    assert unseen(ended(code, message)).startswith(f"unseen: exit code {code}")
    assert unseen(ended(5, "error: changed\n")) == ""


@pytest.fixture
def originals(tiny_bundle: Callable[[str], Bundle], tmp_path: Path) -> Originals:
    """A bundle where the suite would have one."""
    made = Originals(tmp_path / "originals")
    folder = made.root / "sine-gru" / "exported" / "sine-gru"
    shutil.copytree(tiny_bundle("sine-gru").folder, folder)
    return made


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: None,
        rewriting(lambda manifest: None),
        replacing("model.pt", lambda data: data),
        rewriting(lambda manifest: manifest.update(format=FORMAT)),
    ],
)
def test_a_spoil_that_leaves_all_as_it_was_is_a_fault_of_the_suite(
    originals: Originals, tmp_path: Path, spoil: Spoil
) -> None:
    case = Hostile("harmless", "sine-gru", spoil, ())
    with pytest.raises(RuntimeError, match="nothing was spoilt"):
        case.spoilt(originals, tmp_path / "copy")


@pytest.mark.parametrize("what", BYTES)
def test_what_is_no_manifest_of_ours_is_refused(
    originals: Originals, tmp_path: Path, what: str
) -> None:
    """So the format of the future is one, whatever the format of today is."""
    case = Hostile(what, "sine-gru", bytes_of(BYTES[what], MANIFEST), ())
    case.spoilt(originals, tmp_path / "copy")
    with pytest.raises(PipelineError) as refusal:
        open_bundle(tmp_path / "copy" / "exported" / "sine-gru")
    if what == "a format of the future":
        assert f"has format 99; this pipeline reads {FORMAT}" in str(refusal.value)


def test_half_an_artefact_is_told_from_the_old_and_the_new(tmp_path: Path) -> None:
    stage = next(stage for stage in STAGES if stage.name == "embed again")
    old, new = {"a": b"1", "b": b"1"}, {"a": b"2", "b": b"2", "c": b"2"}
    folder = tmp_path / stage.artefact
    folder.mkdir(parents=True)

    def with_files(**content: bytes) -> Path:
        for path in folder.iterdir():
            path.unlink()
        for name, data in content.items():
            (folder / name).write_bytes(data)
        return tmp_path

    names = frozenset(f"{stage.artefact}/{name}" for name in new)
    before = Before(stage, old, new, names)
    assert before.broken(with_files(**old)) == ""
    assert before.broken(with_files(**new)) == ""
    assert before.broken(with_files(**{**new, ".x.tmp": b"half"})) == ""
    assert before.broken(with_files(**{**old, "a": b"2"})).startswith("half")
    assert before.broken(with_files()).startswith("half")
    assert Before(stage, {}, new, names).broken(with_files()) == ""
    assert Before(stage, {}, new, names).broken(with_files(a=b"2")).startswith("half")
    assert before.unfinished(with_files(**new)) == ""
    assert before.unfinished(with_files(**old)).startswith("lost")
    assert before.unfinished(with_files(**{**new, ".x.lock": b""})).startswith("left behind")


def test_code_that_ran_and_files_written_outside_are_found(tmp_path: Path) -> None:
    for name in ("copy", "outside", "temporary"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    before = seen_in(tmp_path / "outside")
    assert crossed(tmp_path, before) == ""
    (tmp_path / "copy" / "canary").touch()
    assert crossed(tmp_path, before).startswith("runs code: copy/canary")
    (tmp_path / "copy" / "canary").unlink()
    (tmp_path / "outside" / "written").touch()
    assert crossed(tmp_path, before).startswith("writes outside")


def test_values_are_put_in_every_place_of_a_document() -> None:
    document = {"a": [1, 2, 3], "b": {"c": "x"}}
    places = dict(places_of(document))
    assert set(places) == {("a",), ("a", 0), ("a", 2), ("b",), ("b", "c")}
    assert changed(document, ("a", 2), "y") == {"a": [1, 2, "y"], "b": {"c": "x"}}
    assert changed(document, ("b", "c"), MISSING) == {"a": [1, 2, 3], "b": {}}
    assert document["a"] == [1, 2, 3]
    assert text_of(changed(document, ("b",), "NESTED")).count(b"[") == 100_001


def test_a_case_has_the_same_few_commands_each_time() -> None:
    plan, commands = Plan(1, seed=2, most=2), list("abcdef")
    chosen = plan.some(commands, "case")
    assert len(chosen) == 2
    assert chosen == sorted(chosen) == plan.some(commands, "case")
    assert {tuple(plan.some(commands, number)) for number in range(50)} > {tuple(chosen)}
    assert Plan(1).some(commands, "case") == commands


def test_bad_cases_are_counted_once_and_their_kinds_are_told() -> None:
    count = Count("flips", "")
    faults = ["unseen: exit code 0 of 3", "unseen: exit code 0 of 4"]
    count.add(2, [Finding("one", f"pipeline inspect --n={n}", faults[n]) for n in range(2)])
    count.add(2, [])
    assert (count.cases, count.readings, count.bad) == (2, 4, 1)
    [(times, example)] = count.kinds()
    assert times == 2
    assert example.fault == faults[0]


# What the suite has found, each mended and kept here.


@pytest.fixture
def unloadable(tiny_bundle: Callable[[str], Bundle], tmp_path: Path) -> Bundle:
    """A bundle whose graph of a step ONNX Runtime refuses; that with the loop is as it was."""
    folder = tmp_path / "copy" / "exported" / "sine-gru"
    shutil.copytree(tiny_bundle("sine-gru").folder, folder)
    replacing("onnx/model.onnx", spoilt(GRAPHS["texts for weights"]))(tmp_path / "copy")
    return open_bundle(folder)


@pytest.mark.parametrize(
    "command", [("inspect", "--plot", "picture.svg"), ("benchmark", "loops")], ids=" ".join
)
def test_a_graph_that_cannot_be_loaded_is_one_line(
    pipeline: Here, unloadable: Bundle, command: tuple[str, ...]
) -> None:
    result = pipeline(*command, str(unloadable.folder))
    result.one_line_error("onnx/model.onnx cannot be run", "INVALID_GRAPH")
    assert result.code == 3
    assert not Path("picture.svg").exists()


def test_the_page_shows_no_forecast_by_a_graph_that_cannot_be_loaded(unloadable: Bundle) -> None:
    """Though the loop passes, which has a row of ONNX Runtime too."""
    with Runtimes(("onnxruntime",), ("cpu",)) as runtimes:
        found = validate_bundle(unloadable, runtimes)
    passed = {row.graph: row.status for row in found.rows if row.format == "ONNX"}
    assert passed == {"model": "fail", "forecast": "pass"}
    page = report_html([(unloadable, found)])
    assert b"no row of ONNX Runtime passed" in page


class Session:
    """ONNX Runtime with a graph of a stranger: it gives what it was made with."""

    def __init__(self, *results: object) -> None:
        self.results = results

    def run(self, outputs: tuple[str, ...], feeds: dict[str, object]) -> list[object]:
        if not self.results:
            raise RuntimeError("[ONNXRuntimeError] bad allocation")
        return list(self.results)


TEXT = np.full((1, 3), ord("q"), np.int64)
LOG_PROB = np.zeros((1, 3), np.float32)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ((), "cannot be run (RuntimeError: [ONNXRuntimeError] bad allocation)"),
        ((TEXT.astype(np.int32), LOG_PROB), "gives text as int32 [1, 3], not int64 [1, 3]"),
        ((TEXT[:, :2], LOG_PROB), "gives text as int64 [1, 2], not int64 [1, 3]"),
        ((TEXT - 10**6, LOG_PROB), "writes characters that it does not know"),
    ],
)
def test_a_graph_that_breaks_its_contract_is_one_line_of_run(
    pipeline: Here,
    tiny_bundle: Callable[[str], Bundle],
    monkeypatch: pytest.MonkeyPatch,
    results: tuple[np.ndarray, ...],
    message: str,
) -> None:
    bundle = tiny_bundle("char-rnn")
    state = bundle.initial_states()["state"]
    session = Session(*results, state) if results else Session()
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_: session)
    run = ("run", str(bundle.folder), "--prompt", "", "--length", "3", "--seed", "1")
    result = pipeline(*run)
    result.one_line_error(message)
    assert result.code == 3
