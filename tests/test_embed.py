"""``pipeline validate --runtime`` of a target: built, replayed, judged, and put into the matrix."""

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from command_line import Here
from rich.console import Console
from tiny import refused, validation_of

from pipeline.bundle import Bundle, open_bundle
from pipeline.embed.replay import Workshop
from pipeline.embed.target import Program
from pipeline.embed.targets import TARGETS
from pipeline.errors import (
    IntegrityError,
    MalformedError,
    PipelineError,
    UnavailableError,
    UsageError,
)
from pipeline.report.matrix import matrix
from pipeline.report.validation_tables import matrix_table
from pipeline.validate import Row, marked


@pytest.fixture
def exported(tiny_bundle: Callable[[str], Bundle], tmp_path: Path) -> Path:
    """A folder with one bundle that may be changed."""
    shutil.copytree(tiny_bundle("sine-gru").folder, tmp_path / "exported" / "sine-gru")
    return tmp_path / "exported"


def test_a_target_adds_its_row_to_those_that_are_there(pipeline: Here, exported: Path) -> None:
    common = ("--json", "--exported", str(exported))

    def rows(*options: str) -> list[str]:
        result = pipeline("validate", *options, *common)
        assert result.code == 0, result.err
        [validation] = json.loads(result.out)
        return [row["runtime"].split(",")[0] for row in validation["rows"]]

    first = rows("--runtime", "onnxruntime")
    assert not any(name.startswith("python") for name in first)
    assert rows("--runtime", "python") == [*first, "python"]
    assert rows("--runtime", "python") == [*first, "python"]  # not twice
    assert rows("--runtime", "onnxruntime") == [*first, "python"]  # nothing changed
    assert rows("--runtime", "onnxruntime", "--force") == first


def test_a_target_without_earlier_rows_stands_beside_pytorch(
    pipeline: Here, exported: Path, tmp_path: Path
) -> None:
    junit = tmp_path / "junit.xml"
    result = pipeline(
        *("validate", "--runtime", "python", "--exported", str(exported), "--junit", str(junit))
    )
    assert result.code == 0
    assert "python, onnxruntime" in result.out
    assert "golden trajectories, 9 calls" in junit.read_text(encoding="utf-8")
    page = (exported / "report.html").read_text(encoding="utf-8")
    assert "9 calls that embedded clients replayed" in page
    assert "--runtime python" in page


def workshop_of(
    monkeypatch: pytest.MonkeyPatch, time_limit: float = 60, **changes: Any
) -> Workshop:
    """A workshop of a target that is otherwise as ``python``."""
    monkeypatch.setitem(TARGETS, "python", dataclasses.replace(TARGETS["python"], **changes))
    return Workshop("python", time_limit)


def program(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


LINE = (
    '{"target": "python", "runtime": "x 1", "model": "m", "calls": 3, "outputs": 0.5, '
    '"states": null, "share": null, "microseconds_per_step": 1, "passed": false}'
)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (f"print({LINE!r}); raise SystemExit(1)", "golden trajectories come out otherwise"),
        (f"print({LINE!r})", "ended with exit code 0, and printed passed as False"),
        ("import os; os.abort()", "exit code -6"),
        ("print('fine')", "printed no result"),
        ("import time; time.sleep(100)", "did not end within 1 seconds"),
        ("import sys; sys.exit('boom')", "printed no result"),
    ],
)
def test_a_replay_that_goes_wrong_is_a_row_that_fails(
    tiny_bundle: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    limit = 1 if "sleep" in code else 60
    with workshop_of(monkeypatch, limit, replay=program(code)) as workshop:
        row = workshop.replay(tiny_bundle("sine-gru"))
    assert row.status == "fail"
    assert reason in row.reason


@pytest.mark.parametrize(("code", "error"), [(3, MalformedError), (5, IntegrityError)])
def test_a_client_that_refuses_ends_the_command_as_it_does(
    tiny_bundle: Callable[[str], Bundle],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    error: type[PipelineError],
) -> None:
    says = program(f"import sys; print('error: it is old', file=sys.stderr); sys.exit({code})")
    with workshop_of(monkeypatch, replay=says) as workshop, refused(error, "Python: it is old"):
        workshop.replay(tiny_bundle("sine-gru"))


def test_a_target_that_cannot_be_built_says_why(
    tiny_bundle: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = program(
        "print('compiling'); print('x.c:1: error: no such header'); raise SystemExit(2)"
    )
    with (
        workshop_of(monkeypatch, build=lambda: (fails,)) as workshop,
        refused(UnavailableError, "cannot be built", "no such header"),
    ):
        workshop.build(tiny_bundle("sine-gru"))
    with workshop_of(monkeypatch, programs=(Program("no-such-program"),)) as workshop:
        row = workshop.replay(tiny_bundle("sine-gru"))
    assert row.status == "not run"
    assert "needs no-such-program" in row.reason
    assert "apt-get install no-such-program" in row.reason


def test_a_model_that_a_target_cannot_run_is_a_row_that_was_not_run(
    tiny_bundle: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(bundle: Bundle) -> Mapping[str, bytes]:
        raise UsageError("it reads whole sequences")

    with workshop_of(monkeypatch, generated=refuse) as workshop:
        row = workshop.replay(tiny_bundle("sine-gru"))
    assert (row.status, row.reason) == ("not run", "it reads whole sequences")


def test_a_target_that_was_asked_for_by_name_must_be_there(
    pipeline: Here, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = dataclasses.replace(TARGETS["python"], programs=(Program("no-such-program"),))
    monkeypatch.setitem(TARGETS, "python", absent)
    result = pipeline("validate", "--runtime", "python", "--exported", str(exported))
    assert result.code == 7
    result.one_line_error("python did not run", "no-such-program")


def test_what_an_earlier_validation_did_not_run_was_not_asked_for(
    pipeline: Here, exported: Path
) -> None:
    bundle = open_bundle(exported / "sine-gru")
    absent = Row(
        model="sine-gru",
        format="ONNX",
        runtime="openvino",
        provider="cpu",
        status="not run",
        reason="it is not installed",
    )
    bundle.add_validation(marked(validation_of(bundle, ("onnxruntime",)).with_row(absent)))
    result = pipeline("validate", "--runtime", "python", "--exported", str(exported))
    assert result.code == 0, result.err
    assert "not run: openvino: it is not installed" in result.err
    assert "python, onnxruntime" in result.out


def test_the_matrix_has_a_line_for_each_runtime_and_a_column_for_each_model(
    tiny_bundle: Callable[[str], Bundle],
) -> None:
    found = [
        validation_of(tiny_bundle(name), ("onnxruntime",)) for name in ("sine-gru", "char-gru")
    ]
    with Workshop("python") as workshop:
        found[1] = found[1].with_row(workshop.replay(tiny_bundle("char-gru")))
    lines = matrix(found)
    assert [line.label.split()[0] for line in lines] == ["PyTorch", "onnxruntime", "python,"]
    assert [row is not None for row in lines[2].rows] == [False, True]
    console = Console(width=120)
    with console.capture() as printed:
        console.print(matrix_table(found))
    assert "–" in printed.get()
    assert "✓" in printed.get()
