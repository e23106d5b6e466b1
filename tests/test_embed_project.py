"""``pipeline embed``: a project is written whole, named where it was changed, never lost."""

import dataclasses
import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from command_line import Here
from killed import content_of, kills_of, names_in
from tiny import fail_on_call, refused, tool

from pipeline import disk
from pipeline.bundle import Bundle
from pipeline.embed.project import project_files, write_project
from pipeline.embed.sums import SUMS_FILE, digests, read_sums, sums_file
from pipeline.embed.targets import TARGETS
from pipeline.errors import (
    IntegrityError,
    MalformedError,
    StorageError,
)
from pipeline.storage import sha256, write_folder


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("preset", ["sine-gru", "char-lstm"])
def test_a_project_is_the_client_as_it_is_and_verified_files_of_the_bundle(
    tiny_bundle: Callable[[str], Bundle], target: str, preset: str
) -> None:
    bundle = tiny_bundle(preset)
    files = project_files(bundle, TARGETS[target])
    assert files == project_files(bundle, TARGETS[target])
    assert {"README.md", "model/manifest.json", "model/golden.json"} <= set(files)
    for folder in TARGETS[target].clients:
        for path in folder.iterdir():
            if path.is_file():
                assert files[path.name] == path.read_bytes()
    for name, entry in bundle.manifest.files.items():
        if f"model/{name}" in files:
            assert sha256(files[f"model/{name}"]) == entry.sha256
    assert ("model/onnx/generate.onnx" in files) == (
        preset == "char-lstm" and target in ("python", "node", "browser", "cpp-onnxruntime")
    )


def test_a_readme_is_short_and_has_the_commands() -> None:
    for target in TARGETS.values():
        [readme] = [
            folder / "README.md" for folder in target.clients if (folder / "README.md").exists()
        ]
        lines = [line for line in readme.read_text(encoding="utf-8").splitlines() if line]
        assert 4 <= len(lines) <= 9
        assert "replay" in " ".join(lines)


def test_a_changed_bundle_is_not_embedded(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle = dataclasses.replace(tiny_bundle("sine-gru"), folder=tmp_path / "copy")
    shutil.copytree(tiny_bundle("sine-gru").folder, bundle.folder)
    (bundle.folder / "golden.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"golden\.json was changed"):
        write_project(bundle, TARGETS["python"], tmp_path / "out")
    (bundle.folder / "golden.json").unlink()
    with pytest.raises(MalformedError, match=r"missing: .*golden\.json"):
        write_project(bundle, TARGETS["python"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_project_that_is_as_it_should_be_is_left_alone(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle, folder = tiny_bundle("sine-gru"), tmp_path / "project"
    names, status = write_project(bundle, TARGETS["python"], folder)
    assert (status, set(names)) == ("written", set(content_of(folder)))
    before = {name: (folder / name).stat() for name in (".", *names)}
    (folder / "notes.txt").write_text("mine")
    for force in (False, True):
        assert write_project(bundle, TARGETS["python"], folder, force) == (names, "unchanged")
    for name, found in before.items():
        after = (folder / name).stat()
        assert after.st_ino == found.st_ino
        assert name == "." or after.st_mtime_ns == found.st_mtime_ns
    assert names_in(tmp_path) == {"project"}


def test_what_was_changed_is_named_and_replaced_only_when_forced(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle, folder = tiny_bundle("sine-gru"), tmp_path / "project"
    write_project(bundle, TARGETS["python"], folder)
    good = content_of(folder)
    (folder / "model.py").write_text("mine")
    (folder / "replay.py").unlink()
    (folder / "example.py").unlink()
    (folder / "example.py").symlink_to("model.py")
    (folder / "notes.txt").write_text("mine")
    same = (folder / "README.md").stat()
    words = ("model.py was changed", "replay.py is missing", "example.py was changed", "--force")
    with refused(IntegrityError, str(folder), *words):
        write_project(bundle, TARGETS["python"], folder)
    assert (folder / "model.py").read_text() == "mine"
    assert write_project(bundle, TARGETS["python"], folder, force=True)[1] == "written"
    assert content_of(folder) == good | {"notes.txt": b"mine"}
    after = (folder / "README.md").stat()
    assert (after.st_ino, after.st_mtime_ns) == (same.st_ino, same.st_mtime_ns)  # builds go on


def test_a_project_of_another_kind_is_replaced_only_when_forced(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle, folder = tiny_bundle("sine-gru"), tmp_path / "project"
    write_project(bundle, TARGETS["c"], folder)
    (folder / "build").mkdir()
    (folder / "build" / "x.o").write_text("made")
    (folder / "example.c").write_text("mine")
    with refused(IntegrityError, "example.c was changed"):
        write_project(bundle, TARGETS["python"], folder)
    write_project(bundle, TARGETS["c"], folder, force=True)
    with refused(StorageError, "project of another model, target or version", "--force"):
        write_project(bundle, TARGETS["python"], folder)
    (folder / "example.c").write_text("mine")
    write_project(bundle, TARGETS["python"], folder, force=True)
    files = project_files(bundle, TARGETS["python"])
    mine = {"build/x.o": b"made", "example.c": b"mine"}  # of the other project, the rest is gone
    assert content_of(folder) == files | mine


def test_what_is_no_project_is_left_alone_even_when_forced(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, folder = tiny_bundle("sine-gru"), tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    for force in (False, True):
        with refused(StorageError, str(folder), "is not empty and no project"):
            write_project(bundle, TARGETS["python"], folder, force)
    for place in (folder / "notes.txt", folder / "notes.txt" / "x"):
        with refused(StorageError, str(place), "a file stands where a folder is needed"):
            write_project(bundle, TARGETS["python"], place)
    (folder / "notes.txt").unlink()
    monkeypatch.chdir(folder)
    with refused(StorageError, "cannot be replaced from within"):
        write_project(bundle, TARGETS["python"], Path())
    monkeypatch.chdir(tmp_path)
    write_project(bundle, TARGETS["python"], folder)
    assert names_in(tmp_path) == {"folder"}


def test_a_project_without_digests_gets_them_when_forced(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    """Earlier versions wrote such projects."""
    bundle, folder = tiny_bundle("sine-gru"), tmp_path / "project"
    write_project(bundle, TARGETS["python"], folder)
    (folder / SUMS_FILE).unlink()
    with refused(StorageError, "is not empty; ", "--force"):
        write_project(bundle, TARGETS["python"], folder)
    write_project(bundle, TARGETS["python"], folder, force=True)
    assert content_of(folder) == project_files(bundle, TARGETS["python"])


def test_the_digests_are_those_that_coreutils_checks(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    write_project(tiny_bundle("sine-gru"), TARGETS["node"], tmp_path / "project")
    check = [tool("sha256sum"), "--check", "--strict", "--quiet", SUMS_FILE]
    assert subprocess.run(check, cwd=tmp_path / "project", check=False).returncode == 0
    lines = (tmp_path / "project" / SUMS_FILE).read_text().splitlines()
    assert {line[66:] for line in lines} == set(content_of(tmp_path / "project")) - {SUMS_FILE}
    (tmp_path / "project" / "model.mjs").write_text("mine")
    done = subprocess.run(check, cwd=tmp_path / "project", capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"model.mjs: FAILED\n")


def test_no_flipped_bit_of_the_digests_goes_unseen(tmp_path: Path) -> None:
    files = {"a.c": b"a", "model/b": b"b"}
    good = sums_file(files)
    write_folder(tmp_path, files)
    for bit in range(8 * len(good)):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / SUMS_FILE).write_bytes(flipped)
        with suppress(IntegrityError):
            known = read_sums(tmp_path)
            assert known
            assert known != digests(tmp_path, known)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", ".", "a//b", "a\\b", ""])
def test_digests_name_files_of_the_project_only(tmp_path: Path, name: str) -> None:
    (tmp_path / SUMS_FILE).write_text(f"{'0' * 64}  {name}\n")
    with refused(IntegrityError, "is damaged"):
        read_sums(tmp_path)


@pytest.mark.parametrize("data", [b"", b"\xff", b"\n", b"x" * 1000, None], ids=repr)
def test_damaged_digests_are_one_line_and_written_anew_when_forced(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path, data: bytes | None
) -> None:
    bundle, folder = tiny_bundle("sine-gru"), tmp_path / "project"
    write_project(bundle, TARGETS["python"], folder)
    (folder / SUMS_FILE).unlink()
    if data is None:
        (folder / SUMS_FILE).symlink_to("README.md")
    else:
        (folder / SUMS_FILE).write_bytes(data)
    with refused(IntegrityError, f"{folder / SUMS_FILE} is damaged", "--force"):
        write_project(bundle, TARGETS["python"], folder)
    write_project(bundle, TARGETS["python"], folder, force=True)
    assert content_of(folder) == project_files(bundle, TARGETS["python"])
    assert not (folder / SUMS_FILE).is_symlink()


def test_a_project_whose_writer_was_killed_is_old_or_new_and_the_next_run_goes_on(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    assert kills_of("kill_project", tmp_path, tiny_bundle("sine-gru").folder) >= 15


@pytest.mark.parametrize(
    ("owner", "name"), [(os, "fsync"), (disk, "write_synced"), (Path, "mkdir")]
)
def test_the_old_project_survives_a_disk_that_is_full_at_any_write(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path, owner: Any, name: str
) -> None:
    bundle, folder = tiny_bundle("sine-gru"), tmp_path / "project"
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    write_project(bundle, TARGETS["c"], folder)
    old = content_of(folder)
    for call in count(1):
        with pytest.MonkeyPatch.context() as patch:
            fail_on_call(patch, owner, name, call, full)
            with suppress(StorageError):
                write_project(bundle, TARGETS["python"], folder, force=True)
        if content_of(folder) != old:
            break
        assert names_in(tmp_path) == {"project"}
    assert call > 1
    assert content_of(folder) == project_files(bundle, TARGETS["python"])
    assert names_in(tmp_path) == {"project"}


def test_the_command_names_what_is_wrong(
    pipeline: Here, tiny_bundle: Callable[[str], Bundle]
) -> None:
    common = ("--exported", str(tiny_bundle("sine-gru").folder.parent))
    for arguments, word in (
        (("sine-gru", "pyhton", "--out", "p"), "did you mean 'python'?"),
        (("sine-gru", "python"), "--out"),
        (("sine-gr", "python", "--out", "p"), "sine-gru"),
        (("sine-gru", "python", "--out", "p", "--serve"), "--serve"),
    ):
        result = pipeline("embed", *arguments, *common)
        assert result.code == 2
        result.one_line_error(word)
    result = pipeline("embed", "sine-gru", "python", "--out", "p", "--json", *common)
    assert "model/onnx/model.onnx" in json.loads(result.out)["files"]
    again = pipeline("embed", "sine-gru", "python", "--out", "p", *common)
    assert again.code == 0
    assert "unchanged" in again.err
    assert pipeline("embed", "sine-gru", "c", "--out", "p", *common).code == 8
    Path("p", "model.py").write_text("mine")
    changed = pipeline("embed", "sine-gru", "python", "--out", "p", *common)
    assert changed.code == 5
    changed.one_line_error("model.py was changed")
    assert pipeline("embed", "sine-gru", "python", "--out", "p", "--force", *common).code == 0
