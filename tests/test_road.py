"""The whole road through the command line: what it prints, and what it skips."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT, Here, run_process
from travelled import FEW, SMALL, leftovers


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
    for part in ("char-lstm: largest errors", "onnxruntime", "generate", "of tolerance", "pass"):
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
        "caught 7 of 7 planted faults of 2 kinds; 0 false alarms on 4 honest models" in result.err
    )
    harmless = Fault("nothing at all", lambda graph: None)
    monkeypatch.setattr(self_test, "FAULTS", (*FAULTS[:1], harmless))
    result = pipeline("validate", "--self-test", "--honest", "0")
    assert result.code == 6
    assert "MISSED" in result.out
    result.one_line_error("missed 4 faults")
