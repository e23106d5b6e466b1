"""Standard streams that are full, closed or not read, and failures that nobody expected."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import PROCESS, ROOT, Here
from tiny import missing

from pipeline.bundle import Bundle

FULL = Path("/dev/full")


@pytest.fixture
def exported(tiny_bundle: Callable[[str], Bundle]) -> str:
    return str(tiny_bundle("char-gru").folder.parent)


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run ``command``, in which ``pipeline`` is the one under test, by the shell."""
    line = f'pipeline() {{ {" ".join(PROCESS)} "$@"; }}; {command}'
    return subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("command", ["presets", "--help", "--version", "inspect --help"])
def test_a_full_disk_behind_standard_output_is_one_line(tmp_path: Path, command: str) -> None:
    if not FULL.exists():
        missing("there is no /dev/full")
    done = shell(f"pipeline {command} > {FULL}", tmp_path)
    line = "error: cannot write standard output: the disk is full; free some space and run again\n"
    assert (done.returncode, done.stderr) == (8, line)


@pytest.mark.parametrize("options", ["", "--json", "--streams 2", "--streams 2 --json"])
def test_no_way_of_writing_meets_a_full_disk_with_a_traceback(
    tmp_path: Path, exported: str, options: str
) -> None:
    if not FULL.exists():
        missing("there is no /dev/full")
    run = f"pipeline run {exported}/char-gru --prompt x --seed 1 --length 9 {options}"
    done = shell(f"{run} > {FULL}", tmp_path)
    assert done.returncode == 8
    assert done.stderr.count("error: ") == len(done.stderr.splitlines()) == 1


def test_standard_output_that_is_closed_is_one_line(tmp_path: Path) -> None:
    done = shell("pipeline --version >&-", tmp_path)
    line = "error: cannot write standard output: it is closed\n"
    assert (done.returncode, done.stderr) == (8, line)
    done = shell("pipeline --version >&- 2>&-", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (8, "", "")
    done = shell("pipeline --version <&- >&- 2>&-", tmp_path)
    assert done.returncode == 8


@pytest.mark.parametrize("redirection", ["2>&-", f"2>{FULL}"])
def test_standard_error_that_takes_nothing_leaves_the_rest_as_it_is(
    tmp_path: Path, exported: str, redirection: str
) -> None:
    run = f"pipeline run {exported}/char-gru --prompt x --length 9"
    done = shell(f"{run} {redirection}", tmp_path)  # it has a seed to say
    assert (done.returncode, len(done.stdout), done.stderr) == (0, len("x\n") + 9, "")
    done = shell(f"pipeline nothing {redirection}", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_what_a_library_prints_does_not_get_into_a_file(tmp_path: Path) -> None:
    """A file that is opened while a standard stream is closed gets the number of that stream."""
    code = (
        "import os; from pipeline.cli.streams import fill_closed_streams\n"
        "fill_closed_streams()\n"
        "file = open('file', 'w')\n"
        "os.write(2, b'a warning')\n"
        "assert os.system('echo too >&2') == 0\n"
    )
    command = f'{PROCESS[0]} -c "{code}" <&- 2>&-'
    assert shell(command, tmp_path).returncode == 0
    assert (tmp_path / "file").read_bytes() == b""


def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path: Path, exported: str) -> None:
    run = f"pipeline run {exported}/char-gru --prompt x --seed 1 --length 20000"
    done = shell(f"{run} | head -c 1", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "x", "")


def raised_from(error: Exception, cause: Exception) -> Exception:
    """``error`` as ``raise error from cause`` leaves it."""
    error.__cause__ = cause
    return error


FAILURES = [
    (MemoryError("2 TiB"), 7, "not enough memory"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 7, "not enough memory"),
    (raised_from(RuntimeError("export failed"), MemoryError()), 7, "not enough memory"),
    (RecursionError("maximum recursion depth exceeded"), 3, "nested too deeply"),
    (PermissionError(13, "Permission denied", "/a/b"), 8, "cannot use /a/b: permission denied"),
    (OSError(113, "No route to host"), 8, "cannot use a file: no route to host"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (TypeError("one\ntwo"), 1, "fault of pipeline, contract/bundle.py:"),
    (ModuleNotFoundError("No module named 'x'", name="x"), 1, "No module named 'x'; please report"),
]


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("pipeline.contract.bundle.find_models", fail)


@pytest.mark.parametrize(("error", "code", "words"), FAILURES, ids=lambda value: repr(value)[:40])
def test_whatever_happens_is_one_line_and_a_code(
    pipeline: Here, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    fail_with(monkeypatch, error)
    result = pipeline("inspect")
    assert result.code == code
    result.one_line_error(words)


def test_a_fault_of_ours_is_a_traceback_where_it_is_asked_for(
    pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "PIPELINE_DEBUG=1" in " ".join(pipeline("--help").out.split())
    fail_with(monkeypatch, TypeError("one"))
    monkeypatch.setenv("PIPELINE_DEBUG", "1")
    with pytest.raises(TypeError, match="one"):
        pipeline("inspect")
