"""The programs around the generated C, where they have ways of their own."""

import shutil
import subprocess
from pathlib import Path

import pytest
from embedded import bundle_of, copy_of, edit, programs_of, project_of, run

from pipeline.bundle import open_bundle
from pipeline.embed.project import write_project
from pipeline.embed.targets import TARGETS

SANITIZED = "-std=c99 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"


@pytest.mark.parametrize("kind", ["series", "text", "two columns", "projected"])
def test_the_programs_pass_the_sanitizers(
    kind: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    TARGETS["c"].require()
    bundle = open_bundle(bundle_of(kind, tmp_path_factory))
    write_project(bundle, TARGETS["c"], tmp_path, force=True)
    answer = run(["make", "--silent", f"CFLAGS={SANITIZED}"], cwd=tmp_path)
    assert answer.code == 0, answer.err
    answer = run(["./replay"], cwd=tmp_path)
    assert (answer.code, answer.err) == (0, "")
    if kind == "text":
        options = ["--prompt", "é🦊 x", "--length", "30", "--top-k", "3", "--top-p", "0.9"]
        answer = run(["./example", *options], cwd=tmp_path)
    else:
        features = bundle.manifest.inputs[0].shape[2]
        assert isinstance(features, int)
        line = ",".join("1" * features)
        answer = run(["./example"], stdin=f"{line}\n{line}\n", cwd=tmp_path)
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize("target", ["c", "wasm"])
def test_the_weights_must_be_those_of_the_bundle(
    target: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = copy_of(bundle_of("series", tmp_path_factory), tmp_path)
    edit(copy, "manifest.json", lambda manifest: manifest.update(checkpoint_sha256="0" * 64))
    replay = programs_of(target, "series", tmp_path_factory).replay
    run(replay, "--model", copy).refused(3, "generate", "C source anew")


def test_a_prompt_that_is_not_utf8_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    [example] = programs_of("c", "text", tmp_path_factory).example
    for wrong in (
        b"\xff",
        b"\xc3",
        b"a\x80",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
    ):
        done = subprocess.run([bytes(Path(example)), b"--prompt", wrong], capture_output=True)
        assert done.returncode == 2
        assert b"UTF-8" in done.stderr


def test_a_series_takes_no_arguments(tmp_path_factory: pytest.TempPathFactory) -> None:
    run(programs_of("c", "series", tmp_path_factory).example, "--prompt", "x").refused(
        2, "--prompt"
    )


def test_make_says_which_library_is_missing(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = shutil.copytree(project_of("c", "series", tmp_path_factory), tmp_path / "c")
    run(["make", "clean"], cwd=folder)
    answer = run(["make", "CC=gcc -nostdinc", "replay"], cwd=folder)
    assert answer.code == 2
    assert "error: cJSON is not installed" in answer.err
