"""The road interrupted, or walked twice at once: what was there stays whole."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import PROCESS, ROOT, Here
from travelled import SMALL, leftovers

from pipeline.storage import exclusive


def test_two_runs_do_not_write_the_same_model_at_once(arrived: Path, pipeline: Here) -> None:
    with exclusive(arrived / "exported" / "sine-gru"):
        for command in ("export", "validate"):
            result = pipeline(command, "sine-gru", "--force")
            result.one_line_error("is being written by another run")
            assert result.code == 8
    with exclusive(arrived / "checkpoints" / "sine-gru"):
        result = pipeline("train", "sine-gru", *SMALL, "--length", "200", "--force")
        result.one_line_error("is being written by another run")


@pytest.fixture
def long_training(tmp_path: Path, text_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = ["train", "char-gru", "--text", str(text_file), "--epochs", "100000"]
    process = subprocess.Popen(
        [*PROCESS, *command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # A suite that runs in the background may have been told to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    yield process
    process.kill()
    process.communicate()


def test_an_interrupted_training_says_so_and_leaves_what_it_needs_to_resume(
    long_training: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    saved = tmp_path / "checkpoints" / "char-gru" / "training.safetensors"
    deadline = time.monotonic() + 120
    while not saved.exists():
        assert time.monotonic() < deadline
        assert long_training.poll() is None
        time.sleep(0.1)
    long_training.send_signal(signal.SIGINT)
    _, err = long_training.communicate(timeout=60)
    assert long_training.returncode == 130
    assert err.decode().splitlines()[-1].startswith("error: interrupted")
    assert b"Traceback" not in err
    assert saved.exists()
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("command", ["export", "validate"])
def test_an_interrupted_stage_keeps_the_old_bundle(
    arrived: Path, pipeline: Here, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    stage = {
        "export": "pipeline.bundle.build_bundle",
        "validate": "pipeline.validate.validate_bundle",
    }
    monkeypatch.setattr(stage[command], interrupt)
    result = pipeline(command, "sine-gru", "--force")
    assert result.code == 130
    result.one_line_error("interrupted")
    monkeypatch.undo()
    os.chdir(arrived)
    assert pipeline("inspect", "sine-gru").code == 0
    assert not leftovers(arrived)
