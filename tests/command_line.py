"""The command line of the pipeline, in this process and in one of its own."""

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROCESS = [sys.executable, "-m", "pipeline"]


class Result:
    """What a command left: exit code, standard output and standard error."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def one_line_error(self, *parts: str) -> None:
        last = self.err.rstrip("\n").splitlines()[-1]
        assert last.startswith("error: "), self.err
        assert "Traceback" not in self.err
        for part in parts:
            assert part in last, last


class Here:
    """A folder to run commands in, in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: str) -> Result:
        from pipeline.cli import main

        self.monkeypatch.setattr(sys, "argv", ["pipeline", *arguments])
        self.capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        captured = self.capsys.readouterr()
        return Result(code, captured.out, captured.err)


def go(folder: Path, *commands: Sequence[str]) -> None:
    """Run commands in ``folder`` and in this process, for a fixture; each must succeed."""
    from pipeline.cli import main

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "stdout", io.StringIO())
        for command in commands:
            patch.setattr(sys, "argv", ["pipeline", *command])
            main()


def run_process(arguments: Sequence[str], folder: Path, **options: object) -> Result:
    done = subprocess.run(
        [*PROCESS, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        timeout=300,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    return Result(done.returncode, done.stdout, done.stderr)


def python(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
