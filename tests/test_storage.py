import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import fail_on_call, refused

from pipeline.errors import StorageError, UnsafeError
from pipeline.storage import (
    canonical_json,
    exclusive,
    recover_folder,
    sha256,
    write_file,
    write_folder,
)

OLD = {"manifest.json": b"old", "onnx/model.onnx": b"old graph", "old.txt": b"old only"}
NEW = {"onnx/model.onnx": b"new graph", "manifest.json": b"new"}
FULL = OSError(errno.ENOSPC, "No space left on device")


def content_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def python(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


# --- files


def test_file_is_written_with_its_folders_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    for data in (b"one", b"", b"three" * 1000):
        write_file(path, data)
        assert path.read_bytes() == data
        assert names_in(path.parent) == {"file"}
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(("owner", "name"), [(os, "fsync"), (Path, "replace")])
def test_old_file_survives_a_failed_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    fail_on_call(monkeypatch, owner, name, 1, FULL)
    with refused(StorageError, str(path), "disk is full"):
        write_file(path, b"new")
    assert content_of(tmp_path) == {"file": b"old"}


@pytest.mark.parametrize(("owner", "name"), [(os, "fsync"), (Path, "replace")])
def test_old_file_survives_an_interrupted_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    fail_on_call(monkeypatch, owner, name, 1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write_file(path, b"new")
    assert content_of(tmp_path) == {"file": b"old"}


def test_failed_first_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_on_call(monkeypatch, os, "fsync", 1, FULL)
    with refused(StorageError, "disk is full"):
        write_file(tmp_path / "file", b"new")
    assert names_in(tmp_path) == set()


LIMITED = """
import resource, sys
from pathlib import Path
from pipeline.errors import StorageError
from pipeline.storage import write_file, write_folder
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    if path.is_dir():
        write_folder(path, {"small": b"new", "big": bytes(200_000)})
    else:
        write_file(path, bytes(200_000))
except StorageError as error:
    print(error)
"""


def test_old_file_and_folder_survive_a_real_limit_of_size(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"old")
    write_folder(tmp_path / "folder", OLD)
    for name in ("file", "folder"):
        result = python(LIMITED, tmp_path / name)
        assert "file size limit is reached" in result.stdout, result.stderr
        assert str(tmp_path / name) in result.stdout
    assert (tmp_path / "file").read_bytes() == b"old"
    assert content_of(tmp_path / "folder") == OLD
    assert names_in(tmp_path) == {"file", "folder"}


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "read-only"),
        (errno.EIO, os.strerror(errno.EIO).lower()),
    ],
)
def test_refusal_of_the_system_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    path = tmp_path / "file"
    fail_on_call(monkeypatch, os, "fsync", 1, OSError(number, os.strerror(number)))
    with refused(StorageError, str(path), advice):
        write_file(path, b"new")


def test_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    for path in (tmp_path / "file" / "x", tmp_path / "file" / "x" / "y"):
        with refused(StorageError, str(path), "a file stands where a folder is needed"):
            write_file(path, b"new")
        with refused(StorageError, str(path), "a file stands where a folder is needed"):
            write_folder(path, NEW)
    assert content_of(tmp_path) == {"file": b"old"}


def test_folder_in_place_of_a_file_is_named_and_stays(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", OLD)
    with refused(StorageError, "a folder stands where a file is needed"):
        write_file(tmp_path / "folder", b"new")
    assert content_of(tmp_path / "folder") == OLD
    assert names_in(tmp_path) == {"folder"}


def test_file_in_place_of_a_bundle_stays(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_bytes(b"mine")
    with refused(StorageError, "a file stands where a folder is needed"):
        write_folder(tmp_path / "bundle", NEW)
    assert content_of(tmp_path) == {"bundle": b"mine"}


# --- folders


def test_folder_is_replaced_by_exactly_the_new_files(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "bundle"
    for files in (OLD, NEW, OLD):
        write_folder(folder, files)
        assert content_of(folder) == files
        assert names_in(folder.parent) == {"bundle"}
    assert folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [(os, "fsync", 1), (os, "fsync", 2), (Path, "rename", 1), (Path, "rename", 2)],
)
@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["disk full", "Ctrl-C"])
def test_old_folder_survives_a_failed_write(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    call: int,
    error: BaseException,
) -> None:
    folder = tmp_path / "bundle"
    write_folder(folder, OLD)
    fail_on_call(monkeypatch, owner, name, call, error)
    with pytest.raises(StorageError if error is FULL else KeyboardInterrupt):
        write_folder(folder, NEW)
    assert content_of(folder) == OLD
    assert names_in(tmp_path) == {"bundle"}


def test_folder_is_whole_and_alone_when_the_last_sync_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundle"
    write_folder(folder, OLD)
    fail_on_call(monkeypatch, os, "fsync", len(NEW) + 1, FULL)
    with refused(StorageError, "disk is full"):
        write_folder(folder, NEW)
    assert content_of(folder) in (OLD, NEW)
    assert names_in(tmp_path) == {"bundle"}


def test_file_name_that_leaves_the_folder_is_refused_and_nothing_written(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "bundle"
    write_folder(folder, OLD)
    with refused(UnsafeError, "../../out"):
        write_folder(folder, {"good": b"", "../../out": b"bad"})
    assert content_of(folder) == OLD
    assert names_in(tmp_path) == {"in"}
    assert names_in(tmp_path / "in") == {"bundle"}


KILLED = """
import os, sys
from pathlib import Path
from pipeline.storage import exclusive, write_folder
folder, at = Path(sys.argv[1]), int(sys.argv[2])
calls, rename, fsync = [], Path.rename, os.fsync
def dying(name, real):
    def call(*args):
        calls.append(name)
        if len(calls) == at:
            os._exit(9)
        return real(*args)
    return call
Path.rename, os.fsync = dying("rename", rename), dying("fsync", fsync)
with exclusive(folder):
    write_folder(folder, {"onnx/model.onnx": b"new graph", "manifest.json": b"new"})
"""


@pytest.mark.parametrize("at", range(1, 6))
def test_folder_of_a_killed_run_is_old_or_new_and_the_next_run_clears_up(
    tmp_path: Path, at: int
) -> None:
    folder = tmp_path / "bundle"  # at: two files synced, two renames, the folder synced
    write_folder(folder, OLD)
    assert python(KILLED, folder, at).returncode == 9
    with exclusive(folder):
        assert content_of(folder) == (NEW if at == 5 else OLD)
        assert names_in(tmp_path) - {".bundle.lock"} == {"bundle"}
        write_folder(folder, NEW)
    assert content_of(folder) == NEW
    assert names_in(tmp_path) - {".bundle.lock"} == {"bundle"}


def test_next_run_removes_the_unfinished_file_of_a_killed_one(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from pipeline.storage import write_file
os.fsync = lambda _: os._exit(9)
write_file(Path(sys.argv[1]), b"new")
"""
    write_file(tmp_path / "model" / "file", b"old")
    assert python(code, tmp_path / "model" / "file").returncode == 9
    assert len(names_in(tmp_path / "model")) == 2
    with exclusive(tmp_path / "model"):
        assert content_of(tmp_path / "model") == {"file": b"old"}


def test_recovery_puts_back_the_folder_that_a_crash_moved_aside(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    write_folder(folder, OLD)
    assert python(KILLED, folder, 4).returncode == 9
    assert not folder.exists()
    recover_folder(folder)
    assert content_of(folder) == OLD


def test_recovery_leaves_a_folder_that_is_there_and_one_that_never_was(tmp_path: Path) -> None:
    write_folder(tmp_path / "bundle", OLD)
    recover_folder(tmp_path / "bundle")
    recover_folder(tmp_path / "none")
    assert content_of(tmp_path / "bundle") == OLD
    assert names_in(tmp_path) == {"bundle"}


# --- one writer at a time

HOLDER = """
import sys, time
from pathlib import Path
from pipeline.storage import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_second_writer_is_refused_until_the_first_one_dies(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "model"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with refused(StorageError, str(folder), "another run"), exclusive(folder):
                pass
        finally:
            holder.kill()  # SIGKILL: no chance to clear up
    with exclusive(folder):
        pass


def test_refused_writer_ends_with_the_code_of_storage() -> None:
    assert StorageError.exit_code == 8


def test_lock_is_free_after_an_error_and_other_folders_always_are(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), exclusive(tmp_path / "a"):
        _ = 1 / 0
    with exclusive(tmp_path / "a"), exclusive(tmp_path / "b"):
        assert names_in(tmp_path) <= {".a.lock", ".b.lock"}


def test_lock_below_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        refused(StorageError, "a file stands where a folder is needed"),
        exclusive(tmp_path / "file" / "model"),
    ):
        pass


# --- JSON and digests


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(value=JSON, indent=st.sampled_from([None, 2]))
def test_json_comes_back_as_it_was_and_ends_with_a_newline(value: Any, indent: int | None) -> None:
    data = canonical_json(value, indent)
    assert json.loads(data) == value
    assert data.endswith(b"\n")
    assert data == canonical_json(value, indent)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_holds_no_number_that_json_does_not_know(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"x": value})


def test_digest_is_that_of_the_standard() -> None:
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(b"abc") == expected  # FIPS 180-2, appendix B.1
