"""Refusals along the road: one line, its exit code, and nothing lost."""

import dataclasses
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from command_line import Here, run_process
from travelled import FEW, SMALL, leftovers

from pipeline.contract.law import Array
from pipeline.runtimes import catalog
from pipeline.runtimes.onnx_runtime import OnnxRuntime


class Off(OnnxRuntime):
    """ONNX Runtime, a little off."""

    def call(self, inputs: Mapping[str, Array]) -> list[Array]:
        output, *state = super().call(inputs)
        return [output + np.float32(1e-2), *state]


class Hangs(OnnxRuntime):
    """ONNX Runtime, and never an answer."""

    def call(self, inputs: Mapping[str, Array]) -> list[Array]:
        time.sleep(1000)
        raise AssertionError


def replace_onnx_runtime(monkeypatch: pytest.MonkeyPatch, other: type[OnnxRuntime]) -> None:
    """Let ``other`` run where ONNX Runtime is asked for; its process imports it from here."""
    kind = dataclasses.replace(
        catalog.RUNTIMES["onnxruntime"],
        openers=lambda file, provider: [partial(other, file, provider)],
        providers=lambda: ("cpu",),
    )
    monkeypatch.setitem(catalog.RUNTIMES, "onnxruntime", kind)


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["trane"], 2, ["did you mean 'train'?"]),
        (["train", "sine-lsmt"], 2, ["sine-lsmt", "did you mean 'sine-lstm'?"]),
        (["train", "--cell", "lsmt"], 2, ["did you mean 'lstm'?"]),
        (["train", "--task", "sin"], 2, ["did you mean 'sine'?"]),
        (["train", "--hiden-size", "3"], 2, ["--hidden-size"]),
        (["train", "sine-rnn", "--hidden-size", "0"], 2, ["--hidden-size 0"]),
        (["train", "sine-rnn", "--num-layers", "-1"], 2, ["--num-layers -1"]),
        (["train", "sine-rnn", "--epochs", "0"], 2, ["--epochs 0"]),
        (["train", "sine-rnn", "--learning-rate", "nan"], 2, ["--learning-rate nan"]),
        (["train", "sine-rnn", "--noise", "nan"], 2, ["--noise nan"]),
        (["train", "char-rnn", "--noise", "1"], 2, ["--noise", "char-rnn"]),
        (["train", "sine-rnn", "--text", "a.txt"], 2, ["char-rnn"]),
        (["train", "--name", "one"], 2, ["--name fits one model"]),
        (["train", "sine-rnn", "--name", "../up"], 2, ["--name '../up'"]),
        (["train", "char-rnn", "--text", "none.txt"], 3, ["none.txt", "missing"]),
        (["train", "sine-rnn", "--device", "warp"], 7, ["warp", "--device cpu"]),
        (["export"], 2, ["checkpoints holds no model", "pipeline train"]),
        (["export", "--opset", "3"], 2, ["--opset 3", "18 to 23"]),
        (["validate"], 2, ["exported holds no model", "pipeline export"]),
        (["validate", "--provider", "kuda"], 2, ["did you mean 'cuda'?"]),
        (["validate", "--runtime", "trakt"], 2, ["did you mean 'tract'?"]),
        (["validate", "--time-limit", "0"], 2, ["--time-limit"]),
    ],
)
def test_bad_usage_is_one_line_with_its_exit_code(
    pipeline: Here, tmp_path: Path, arguments: list[str], code: int, parts: list[str]
) -> None:
    result = pipeline(*arguments)
    result.one_line_error(*parts)
    assert result.code == code
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["is empty"]),
        (b"short", ["5 characters", "one window of 16"]),
        (b"abc\xff" + b"x" * 500, ["not UTF-8 at byte 3"]),
    ],
)
def test_a_text_that_cannot_be_trained_on_is_refused(
    pipeline: Here, tmp_path: Path, content: bytes, parts: list[str]
) -> None:
    (tmp_path / "bad.txt").write_bytes(content)
    result = pipeline("train", "char-rnn", *SMALL, "--text", "bad.txt")
    result.one_line_error(*parts)
    assert result.code == 3


def test_a_series_with_nan_is_refused_with_its_row(pipeline: Here, tmp_path: Path) -> None:
    rows = [str(i % 9) for i in range(200)]
    rows[41] = "nan"
    (tmp_path / "bad.csv").write_text("\n".join(rows))
    result = pipeline("train", "sine-rnn", *SMALL, "--series", "bad.csv")
    result.one_line_error("row 42", "missing", "--fill")
    assert result.code == 3


def test_a_text_cell_in_a_number_column_is_refused_with_row_and_column(
    pipeline: Here, tmp_path: Path
) -> None:
    rows = [f"2024-01-01 {i // 60:02}:{i % 60:02},{i % 9},{i % 7}" for i in range(200)]
    rows[40] = "2024-01-01 00:40,4,broken"
    (tmp_path / "bad.csv").write_text("\n".join(["ds,y,wind", *rows]))
    result = pipeline("train", "sine-rnn", *SMALL, "--series", "bad.csv")
    result.one_line_error("bad.csv, row 42, column 'wind'", "'broken' is not a number")
    assert result.code == 3


def test_a_name_that_is_not_there_gets_the_nearest(arrived: Path, pipeline: Here) -> None:
    pipeline("export", "sine-gro").one_line_error("did you mean 'sine-gru'?")
    pipeline("validate", "char-lst").one_line_error("did you mean 'char-lstm'?")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"PK\x03\x04" + data[4:],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    ],
    ids=["truncated", "of another format", "one bit"],
)
def test_damaged_weights_are_refused_unread_and_the_bundle_stays(
    arrived: Path, pipeline: Here, damage: Callable[[bytes], bytes]
) -> None:
    manifest = (arrived / "exported" / "sine-gru" / "manifest.json").read_bytes()
    weights = next((arrived / "checkpoints" / "sine-gru").glob("weights-*"))
    weights.write_bytes(damage(weights.read_bytes()))
    result = pipeline("export", "sine-gru", "--force")
    result.one_line_error("not the file that training wrote")
    assert result.code == 5
    assert (arrived / "exported" / "sine-gru" / "manifest.json").read_bytes() == manifest


def test_a_bundle_with_one_flipped_bit_is_not_validated(arrived: Path, pipeline: Here) -> None:
    path = arrived / "exported" / "sine-gru" / "onnx" / "model.onnx"
    data = bytearray(path.read_bytes())
    data[-9] ^= 4
    path.write_bytes(data)
    for command in ("validate", "inspect"):
        result = pipeline(command, "sine-gru")
        result.one_line_error("model.onnx", "was changed after its export")
        assert result.code == 5
    assert "exported" in pipeline("export", "sine-gru").err  # and export mends it
    assert pipeline("validate", "sine-gru").code == 0


def test_numbers_that_do_not_match_are_exit_6_and_stand_in_the_report(
    arrived: Path, pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_onnx_runtime(monkeypatch, Off)
    result = pipeline("validate", "sine-gru", *FEW)
    result.one_line_error("sine-gru: not as PyTorch")
    assert result.code == 6
    assert "✗" in result.out
    assert "fail: " in result.err
    page = (arrived / "exported" / "report.html").read_text()
    assert "Not all is well: 1 of 2 models failed" in page
    content = json.loads((arrived / "exported" / "sine-gru" / "validation.json").read_text())
    assert [row["status"] for row in content["rows"] if row["cases"]] == ["pass", "fail"]
    monkeypatch.undo()
    os.chdir(arrived)
    assert "unchanged" not in pipeline("validate", "sine-gru", *FEW).err  # no failure is current


def test_a_runtime_that_hangs_is_ended_and_the_others_still_run(
    arrived: Path, pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_onnx_runtime(monkeypatch, Hangs)
    asked = ("--runtime", "onnxruntime", "--runtime", "reference", "--time-limit", "6")
    result = pipeline("validate", "sine-gru", *asked)
    assert result.code == 6
    assert (
        "hangs: no answer within 6 s, so its process was ended; --time-limit gives it longer"
        in result.err
    )
    content = json.loads((arrived / "exported" / "sine-gru" / "validation.json").read_text())
    assert [row["status"] for row in content["rows"]] == ["pass", "fail", "pass", "pass"]
    assert [row["graph"] for row in content["rows"]] == [*["model"] * 3, "forecast"]


def test_a_runtime_asked_for_by_name_must_be_there(
    arrived: Path, pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = pipeline("validate", "sine-gru", "--runtime", "tract")
    assert result.code == 0
    content = json.loads((arrived / "exported" / "sine-gru" / "validation.json").read_text())
    assert content["runtimes"] == ["tract"]
    monkeypatch.setitem(sys.modules, "tract", None)
    result = pipeline("validate", "sine-gru", "--runtime", "tract")
    result.one_line_error("runtime 'tract' is not there", "-m pip install 'tract>=0.23.9'")
    assert result.code == 7
    result = pipeline("validate", "sine-gru")  # not asked for: named, and no failure
    assert result.code == 0
    assert "tract: it is not installed" in result.err


def test_a_bundle_that_misses_a_file_is_told_which(arrived: Path, pipeline: Here) -> None:
    (arrived / "exported" / "sine-gru" / "onnx" / "model.onnx").unlink()
    result = pipeline("validate", "sine-gru")
    result.one_line_error("sine-gru/onnx/model.onnx")
    assert result.code == 3


def test_a_provider_asked_for_by_name_must_be_there(
    arrived: Path, pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    result = pipeline("validate", "sine-gru", "--provider", "cuda")
    result.one_line_error("provider 'cuda' is not there", "make EXTRA=gpu")
    assert result.code == 7


def test_a_folder_that_cannot_be_written_is_exit_8(arrived: Path, pipeline: Here) -> None:
    (arrived / "taken").write_text("a file")
    result = pipeline("export", "sine-gru", "--exported", "taken")
    result.one_line_error("taken", "a file stands where a folder is needed")
    assert result.code == 8


def test_a_full_disk_is_exit_8_and_the_old_bundle_is_whole(arrived: Path) -> None:
    """A limit on the size of files stands for the disk that is full in the middle of a write."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

    result = run_process(["export", "char-lstm", "--force"], arrived, preexec_fn=limit)
    assert result.code == 8, result.err
    result.one_line_error("cannot write")
    assert not leftovers(arrived)
    assert run_process(["inspect", "char-lstm"], arrived).code == 0
