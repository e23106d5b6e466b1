"""The whole road through the command line: what it prints, what it skips, what it refuses."""

import dataclasses
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from command_line import PROCESS, ROOT, Here, go, run_process

from pipeline.contract.law import Array
from pipeline.runtimes import catalog
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.storage import exclusive

SMALL = ["--hidden-size", "4", "--epochs", "1", "--window", "16"]


FEW = ("--runtime", "onnxruntime", "--force")


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


@pytest.fixture(scope="module")
def travelled(tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Path:
    """A folder in which two small models went the whole road."""
    folder = tmp_path_factory.mktemp("road")
    go(
        folder,
        ["train", "sine-gru", *SMALL, "--length", "200"],
        ["train", "char-lstm", *SMALL, "--text", str(text_file)],
        ["export"],
        ["validate"],
    )
    return folder


@pytest.fixture
def arrived(travelled: Path, tmp_path: Path, pipeline: Here) -> Path:
    """A copy of the travelled road to stand in and to damage."""
    for part in ("checkpoints", "exported"):
        shutil.copytree(travelled / part, tmp_path / part)
    return tmp_path


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.suffix == ".tmp" or "previous" in path.name]


def test_the_road_ends_with_proof(travelled: Path, text_file: Path) -> None:
    for name in ("sine-gru", "char-lstm"):
        validation = json.loads((travelled / "exported" / name / "validation.json").read_text())
        ran = {row["format"]: row["status"] for row in validation["rows"] if row["cases"]}
        assert ran.keys() >= {"PyTorch", "TorchScript", "ONNX"}
        assert {*ran.values()} == {"pass"}
    assert not leftovers(travelled)


def test_streams_are_as_long_in_a_process_that_no_test_has_touched(arrived: Path) -> None:
    done = run_process(["validate", "sine-gru", "--runtime", "onnxruntime", "--force"], arrived)
    assert done.code == 0, done.err
    validation = json.loads((arrived / "exported/sine-gru/validation.json").read_text())
    ran = [row for row in validation["rows"] if row["cases"] and row["graph"] == "model"]
    row = ran[-1]
    assert [found["format"] for found in ran] == ["PyTorch", "ONNX"]
    assert {(case["batch"], case["time"]) for case in row["cases"]} > {(1, 10_000), (32, 1000)}
    assert row["free_run"]["steps"] == 500


def test_nothing_is_done_twice(arrived: Path, pipeline: Here, text_file: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in arrived.rglob("*.*")}
    commands = (
        ("train", "sine-gru", *SMALL, "--length", "200"),
        ("train", "char-lstm", *SMALL, "--text", str(text_file)),
        ("export",),
        ("validate",),
    )
    for command in commands:
        result = pipeline(*command)
        assert result.code == 0, result.err
        assert result.err.count("unchanged") == (1 if command[0] == "train" else 2)
    assert {path: path.stat().st_mtime_ns for path in arrived.rglob("*.*")} == before


WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from pipeline.cli import main; main()"


def test_a_run_that_finds_nothing_changed_needs_no_torch(arrived: Path, text_file: Path) -> None:
    for arguments in (
        ["train", "char-lstm", *SMALL, "--text", str(text_file)],
        ["export"],
        ["validate"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH, *arguments],
            cwd=arrived,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("unchanged") == (1 if arguments[0] == "train" else 2)


def test_a_changed_option_redoes_what_depends_on_it_and_nothing_else(
    arrived: Path, pipeline: Here
) -> None:
    result = pipeline("train", "sine-gru", *SMALL, "--length", "200", "--seed", "1")
    assert "sine-gru: trained" in result.err
    result = pipeline("export")
    assert "sine-gru: exported" in result.err
    assert "char-lstm: unchanged" in result.err
    result = pipeline("validate", "--json")
    assert "char-lstm: unchanged" in result.err
    assert "sine-gru: unchanged" not in result.err
    assert [validation["model"] for validation in json.loads(result.out)] == [
        "sine-gru",
        "char-lstm",
    ]


def test_a_changed_text_is_trained_on_again(
    pipeline: Here, tmp_path: Path, text_file: Path
) -> None:
    own = tmp_path / "own.txt"
    own.write_text(text_file.read_text())
    command = ("train", "char-rnn", *SMALL, "--text", "own.txt", "--name", "own")
    trained = pipeline(*command, "--resume").err
    assert "own: nothing to resume, starting from the beginning" in trained
    assert "own: trained" in trained
    assert trained.rstrip().endswith("next: pipeline export own")
    assert "own: unchanged" in pipeline(*command).err
    own.write_text(text_file.read_text() + "more")
    assert "own: trained" in pipeline(*command).err


def test_force_does_the_work_again(arrived: Path, pipeline: Here) -> None:
    assert "sine-gru: exported" in pipeline("export", "sine-gru", "--force").err
    assert "unchanged" not in pipeline("validate", "sine-gru", *FEW).err


def test_tables_show_every_model_and_the_next_command(arrived: Path, pipeline: Here) -> None:
    result = pipeline("validate")
    for part in ("sine-gru", "char-lstm", "TorchScript", "onnxruntime", "✓"):
        assert part in result.out
    details = pipeline("validate", "--details").out
    for part in ("char-lstm: largest errors", "onnxruntime", "generate", "next state", "pass"):
        assert part in details
    assert result.err.rstrip().endswith("next: pipeline inspect")


def test_every_command_takes_a_path_where_it_takes_a_name(
    arrived: Path, pipeline: Here, tmp_path: Path
) -> None:
    (arrived / "elsewhere").mkdir()
    (arrived / "exported" / "sine-gru").rename(arrived / "elsewhere" / "moved")
    bundle = "elsewhere/moved"
    page = (arrived / "exported" / "report.html").read_bytes()
    for command in (
        ("export", str(arrived / "checkpoints" / "sine-gru"), "--exported", "again"),
        ("inspect", bundle),
        ("validate", bundle, *FEW),
        ("run", bundle, "--steps", "3", "--history", "values.csv"),
        ("benchmark", "loops", "again/sine-gru"),
        ("embed", bundle, "python", "--out", "project"),
    ):
        (arrived / "values.csv").write_text("1\n2\n3\n")
        done = pipeline(*command)
        assert done.code == 0, (command, done.err)
    assert (arrived / "again" / "sine-gru" / "manifest.json").is_file()
    assert (arrived / "exported" / "report.html").read_bytes() == page  # of that folder alone
    pipeline("inspect", "elsewhere/none").one_line_error("elsewhere/none/manifest.json")


def test_the_report_stands_beside_the_bundles_and_where_it_is_asked_for(
    arrived: Path, pipeline: Here
) -> None:
    page = (arrived / "exported" / "report.html").read_bytes()
    assert b"All is well</h1>\n<p>2 models on " in page
    result = pipeline("validate", "--report", "out/proof.html", "--junit", "out/junit.xml")
    assert "report: out/proof.html" in result.err
    assert (arrived / "out" / "proof.html").read_bytes() == page
    assert b'<testsuite name="sine-gru"' in (arrived / "out" / "junit.xml").read_bytes()
    (arrived / "taken").write_text("a file")
    result = pipeline("validate", "--report", "taken/proof.html")
    result.one_line_error("cannot write taken/proof.html", "a file stands where a folder is needed")
    assert result.code == 8


def test_the_report_keeps_the_models_that_were_validated_before(
    arrived: Path, pipeline: Here
) -> None:
    page = arrived / "exported" / "report.html"
    before = page.read_bytes()
    assert pipeline("validate", "sine-gru").code == 0
    assert page.read_bytes() == before
    assert pipeline("validate", "sine-gru", "--report", "own.html").code == 0
    assert "All is well</h1>\n<p>1 model on " in (arrived / "own.html").read_text()
    with (arrived / "exported" / "char-lstm" / "onnx" / "model.onnx").open("ab") as file:
        file.write(b"more")
    assert pipeline("validate", "sine-gru").code == 0
    assert "All is well</h1>\n<p>1 model on " in page.read_text()


def test_a_provider_that_is_not_there_is_named_with_the_way_to_get_it(
    arrived: Path, pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    result = pipeline("validate", "--force")
    assert result.code == 0
    assert "onnxruntime on cuda: " in result.err
    assert "make EXTRA=gpu" in pipeline("validate", "--details").err


def test_scores_go_into_checkpoint_manifest_and_card(travelled: Path) -> None:
    for name, score in (("sine-gru", "one_step_persistence"), ("char-lstm", "ngram_bits")):
        checkpoint = json.loads((travelled / "checkpoints" / name / "checkpoint.json").read_text())
        manifest = json.loads((travelled / "exported" / name / "manifest.json").read_text())
        assert score in checkpoint["training"]["scores"]
        assert checkpoint["training"] == manifest["training"]
    card = (travelled / "exported" / "char-lstm" / "README.md").read_text()
    assert "best n-gram model" in card
    assert "seasonal naive" in (travelled / "exported" / "sine-gru" / "README.md").read_text()


def test_inspect_shows_facts_and_draws(arrived: Path, pipeline: Here) -> None:
    result = pipeline("inspect", "sine-gru", "--plot", "forecast.svg")
    assert result.code == 0, result.err
    assert "all digests match" in result.out
    assert "float32 [batch, time, 1]: values in raw units" in result.out
    assert "<svg" in (arrived / "forecast.svg").read_text()
    again = (arrived / "forecast.svg").read_bytes()
    pipeline("inspect", "sine-gru", "--plot", "forecast.svg")
    assert (arrived / "forecast.svg").read_bytes() == again
    assert pipeline("inspect", "char-lstm", "--plot", "bits.png").code == 0
    assert (arrived / "bits.png").read_bytes().startswith(b"\x89PNG")
    pipeline("inspect", "--plot", "both.png").one_line_error("only one kind")
    pipeline("inspect", "sine-gru", "--plot", "x.doc").one_line_error(".png, .svg, .pdf")


def test_no_command_shows_the_help(pipeline: Here) -> None:
    result = pipeline()
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Usage: ")


def test_train_prints_scores_as_json(pipeline: Here) -> None:
    result = pipeline("train", "sine-rnn", *SMALL, "--length", "200", "--json")
    (trained,) = json.loads(result.out)
    assert trained["status"] == "trained"
    assert trained["training"]["scores"]["one_step"]["rmse"] > 0


def test_the_users_own_column_of_numbers_goes_the_whole_road(
    pipeline: Here, tmp_path: Path
) -> None:
    rows = "\n".join(str(20 + (i % 24) + i % 7) for i in range(300))
    (tmp_path / "load.csv").write_text(f"load\n{rows}\n")
    command = ("train", "--cell", "lstm", "--series", "load.csv", "--season", "24", *SMALL)
    assert pipeline(*command, "--name", "load").code == 0
    assert pipeline("export", "load").code == 0
    assert pipeline("validate", "load").code == 0
    assert "the series load.csv" in (tmp_path / "exported" / "load" / "README.md").read_text()


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


def test_the_self_test_prints_its_share_and_fails_when_a_fault_is_missed(
    pipeline: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.validate import self_test
    from pipeline.validate.faults import FAULTS, Fault

    monkeypatch.setattr(self_test, "CELLS", ("gru",))
    monkeypatch.setattr(self_test, "FAULTS", FAULTS[:1])
    monkeypatch.setattr(self_test, "trial_modules", lambda: ())  # they are in test_self_test.py
    result = pipeline("validate", "--self-test", "--honest", "0")
    assert result.code == 0, result.err
    assert (
        "caught 4 of 4 planted faults of 2 kinds; 0 false alarms on 2 honest models" in result.err
    )
    harmless = Fault("nothing at all", lambda graph: None)
    monkeypatch.setattr(self_test, "FAULTS", (*FAULTS[:1], harmless))
    result = pipeline("validate", "--self-test", "--honest", "0")
    assert result.code == 6
    assert "MISSED" in result.out
    result.one_line_error("missed 2 faults")
