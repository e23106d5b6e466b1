"""``pipeline run``: bundles that cannot run, and mistakes, each in one line; without torch."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import ROOT, Here
from run_bundles import CHAR, SINE, piped
from tiny import edit_sealed, refused

from pipeline.errors import UsageError
from pipeline.run.bundle import load
from pipeline.run.series import check_request
from pipeline.storage import sha256


def change(folder: Path, **values: Any) -> None:
    edit_sealed(folder / "manifest.json", lambda content: content.update(values))


def change_file(folder: Path, name: str, entry: dict[str, Any]) -> None:
    files = json.loads((folder / "manifest.json").read_bytes())["files"]
    change(folder, files=files | {name: entry})


def without(module: str, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The command where ``module`` is not installed."""
    code = f"import sys; sys.modules[{module!r}] = None; from pipeline.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        [CHAR, "--prompt", "the ", "--length", "20", "--seed", "1"],
        [SINE, "--history", "sine.csv", "--steps", "5", "--samples", "4", "--plot", "-"],
        [SINE, "--history", "sine.csv", "--plot", "fan.svg"],
    ],
    ids=["text", "series", "picture"],
)
def test_torch_is_not_needed(runnable: Path, arguments: list[str]) -> None:
    done = without("torch", ["run", *arguments], runnable.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_without_onnxruntime_the_command_says_what_to_install(runnable: Path) -> None:
    done = without("onnxruntime", ["run", CHAR, "--prompt", "a"], runnable.parent)
    assert (done.returncode, done.stdout) == (7, "")
    command = f"{sys.executable} -m pip install 'onnxruntime>=1.21'"
    assert done.stderr == f"error: onnxruntime is not installed; run {command}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([CHAR, "--length", "-1"], 2, ["--length", "-1"]),
        ([CHAR, "--temperature", "-0.5"], 2, ["--temperature", "-0.5"]),
        ([CHAR, "--temperature", "nan"], 2, ["--temperature", "nan"]),
        ([CHAR, "--top-p", "0"], 2, ["--top-p"]),
        ([CHAR, "--top-p", "1.1"], 2, ["--top-p"]),
        ([CHAR, "--top-p", "nan"], 2, ["--top-p"]),
        ([CHAR, "--top-k", "-1"], 2, ["--top-k"]),
        ([CHAR, "--streams", "0"], 2, ["--streams"]),
        ([CHAR, "--streams", "9" * 20], 2, ["--streams"]),
        ([CHAR, "--seed", "-1"], 2, ["--seed"]),
        ([CHAR, "--prompt", "\udcff"], 2, ["--prompt", "not Unicode"]),
        ([CHAR, "--history", "sine.csv"], 2, ["--history", "series models", CHAR, "leave it out"]),
        ([CHAR, "--samples", "1"], 2, ["--samples is for series models"]),
        ([SINE, "--streams", "2"], 2, ["--streams is for text models", SINE]),
        ([SINE, "--prompt", ""], 2, ["--prompt is for text models"]),
        ([SINE, "--steps", "-1"], 2, ["--steps"]),
        ([SINE, "--steps", "9" * 20], 2, ["steps 999", "give fewer"]),
        ([SINE, "--samples", "-1"], 2, ["--samples"]),
        ([SINE, "--history", "sin.csv"], 3, ["missing", "sin.csv"]),
        ([SINE, "--history", "sine.csv", "--plot", "a.gif"], 2, ["--plot a.gif", ".png, .svg"]),
        ([SINE, "--history", "sine.csv", "--plot", "-", "--json"], 2, ["--plot - and --json"]),
        (["char-lst"], 2, ["'char-lst'", "did you mean 'char-lstm'"]),
        (["./some/where"], 3, ["manifest is missing", "some/where"]),
        ([], 2, ["NAME|PATH"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line(
    runnable: Path, pipeline: Here, arguments: list[str], code: int, words: list[str]
) -> None:
    result = pipeline("run", *arguments)
    assert result.code == code, result.err
    assert result.out == ""
    result.one_line_error(*words)


def test_no_history_is_refused(
    runnable: Path, pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped(monkeypatch, b"")
    result = pipeline("run", SINE)
    assert result.code == 2
    result.one_line_error("no history", "--history FILE.csv")


def without_loop(folder: Path) -> None:
    change(folder, loop=None)


def with_flipped_manifest(folder: Path) -> None:
    flip(folder / "manifest.json")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def with_tail(folder: Path) -> None:
    with (folder / "onnx/forecast.onnx").open("ab") as file:
        file.write(b"\0")


def with_flipped_bit(folder: Path) -> None:
    flip(folder / "onnx/forecast.onnx")


def not_onnx(folder: Path) -> None:
    (folder / "onnx/forecast.onnx").write_bytes(b"no graph")
    change_file(
        folder, "onnx/forecast.onnx", {"sha256": sha256(b"no graph"), "bytes": len(b"no graph")}
    )


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (without_loop, 3, ["loop is not that of the model", "export it anew"]),
        (lambda folder: change(folder, spread=None), 3, ["spread is not residual_std"]),
        (with_flipped_manifest, 5, ["manifest.json was changed", "export it anew"]),
        (lambda folder: change(folder, format=3), 3, ["format 3", "update it"]),
        (lambda folder: change(folder, files={}), 3, ["lists no", "onnx/forecast.onnx"]),
        (lambda folder: change(folder, task="sound"), 3, ["manifest.json", "task"]),
        (lambda folder: change(folder, task="text"), 3, ["not of the same task", "export it anew"]),
        (lambda folder: (folder / "manifest.json").write_text("{"), 3, ["not JSON"]),
        (lambda folder: (folder / "manifest.json").write_text("[]"), 3, ["manifest.json"]),
        (lambda folder: (folder / "onnx/forecast.onnx").unlink(), 3, ["forecast.onnx"]),
        (with_tail, 5, ["forecast.onnx was changed after its export"]),
        (with_flipped_bit, 5, ["forecast.onnx was changed after its export"]),
        (not_onnx, 7, ["cannot load", "forecast.onnx"]),
    ],
)
def test_a_bundle_that_cannot_run_is_refused_in_one_line(
    runnable: Path,
    pipeline: Here,
    spoil: Callable[[Path], object],
    code: int,
    words: list[str],
) -> None:
    spoil(runnable / SINE)
    result = pipeline("run", SINE, "--history", "sine.csv", "--samples", "3", "--seed", "1")
    assert (result.code, result.out) == (code, "")
    result.one_line_error(*words)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"bidirectional": True, "readout": "final"}, ["both directions", "without --bi"]),
        ({"features": 3}, ["reads 3 columns and forecasts 1", "--target"]),
    ],
)
def test_a_model_that_cannot_be_fed_with_its_outputs_is_refused(
    runnable: Path, model: dict[str, Any], words: list[str]
) -> None:
    bundle = load(runnable / SINE)
    assert bundle.manifest.model is not None
    changes = {"loop": None, "model": bundle.manifest.model.model_copy(update=model)}
    manifest = bundle.manifest.model_copy(update=changes)
    with refused(UsageError, *words):
        _ = replace(bundle, manifest=manifest).loop_graph


def test_samples_need_a_known_spread(runnable: Path) -> None:
    unknown = load(runnable / SINE).manifest.model_copy(update={"spread": None})
    with refused(UsageError, "samples 3", "leave samples out"):
        check_request(unknown, 2, 3, 1)


def test_a_bundle_may_be_a_path(runnable: Path, pipeline: Here) -> None:
    told = pipeline("run", CHAR, "--prompt", "a", "--seed", "1").out
    runnable.rename(runnable.parent / "elsewhere")
    elsewhere = runnable.parent / "elsewhere"
    for arguments in ([f"elsewhere/{CHAR}"], [str(elsewhere / CHAR)]):
        assert pipeline("run", *arguments, "--prompt", "a", "--seed", "1").out == told
    named = pipeline("run", CHAR, "--exported", "elsewhere", "--prompt", "a", "--seed", "1")
    assert named.out == told
