"""Files and folders are written whole, or the old ones stay."""

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from command_line import python
from hypothesis import given, settings
from hypothesis import strategies as st
from killed import NEW, OLD, content_of, kills_of, names_in
from tiny import fail_on_call, refused

from pipeline import disk, storage
from pipeline.errors import StorageError, UnsafeError
from pipeline.storage import (
    canonical_json,
    exclusive,
    recover_folder,
    sha256,
    update_folder,
    write_file,
    write_folder,
)

FULL = OSError(errno.ENOSPC, "No space left on device")


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


def without_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_exchange_call", lambda: None)


SYNCS = 6  # before folders change places: two files, the two folders they are in, the one beside


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        *((os, "fsync", call) for call in range(1, SYNCS)),
        (disk, "exchange", 1),
        (Path, "mkdir", 1),
        (Path, "open", 2),
        (Path, "rename", 1),
        (Path, "rename", 2),
    ],
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
    if name == "rename":
        without_exchange(monkeypatch)
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
    fail_on_call(monkeypatch, os, "fsync", SYNCS, FULL)
    with refused(StorageError, "disk is full"):
        write_folder(folder, NEW)
    assert content_of(folder) == NEW
    assert names_in(tmp_path) == {"bundle"}


@pytest.mark.parametrize("where", ["exchanged", "moved aside"])
def test_a_new_folder_is_on_the_disk_before_the_old_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder = tmp_path / "bundle"
    write_folder(folder, OLD)
    if where != "exchanged":
        without_exchange(monkeypatch)
    done: list[str] = []

    def fsync(descriptor: int, real: Any = os.fsync) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        inside = path.relative_to(tmp_path).as_posix()
        done.append(re.sub(r"^\.bundle\.\w+\.tmp", "new", inside))
        real(descriptor)

    def remove(path: Path, real: Any = disk.remove) -> None:
        done.extend(["gone"] if path.is_dir() else [])
        real(path)

    def move(new: Path, old: Path, real: Any = storage._move_in) -> None:
        done.append("moved")
        real(new, old)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(disk, "remove", remove)
    monkeypatch.setattr(storage, "_move_in", move)
    write_folder(folder, NEW)
    files = ["new/onnx/model.onnx", "new/manifest.json"]
    assert done == [*files, "new/onnx", "new", ".", "moved", ".", "gone"]


def test_new_parents_are_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", fsync)
    write_file(tmp_path / "a" / "b" / "file", b"new")
    a = tmp_path / "a"
    assert [synced[0], synced[1], synced[-1]] == [str(tmp_path), str(a), str(a / "b")]


def test_a_part_of_a_folder_is_replaced_and_the_rest_stays_the_very_same(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    write_folder(folder, {**OLD, "build/x.o": b"made", "build/deep/y.o": b"made"})
    (folder / "link").symlink_to("nowhere")
    (folder / "build").chmod(0o500)
    folder.chmod(0o700)
    before = {name: (folder / name).stat() for name in ("build/x.o", "build/deep/y.o")}
    times = (folder / "build").stat().st_mtime_ns
    update_folder(folder, NEW, {"old.txt"})
    same = {"build/x.o": b"made", "build/deep/y.o": b"made"}
    assert content_of(folder) == {**NEW, **same}
    for name, found in before.items():
        after = (folder / name).stat()
        assert (after.st_ino, after.st_mtime_ns) == (found.st_ino, found.st_mtime_ns)
        assert after.st_nlink == 1
    assert os.readlink(folder / "link") == "nowhere"
    assert (folder / "build").stat().st_mtime_ns == times
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "build")] == [0o700, 0o500]
    assert names_in(tmp_path) == {"project"}


def test_what_has_no_second_name_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    folder = tmp_path / "project"
    write_folder(folder, OLD)
    (folder / "link").symlink_to("old.txt")
    os.utime(folder / "old.txt", ns=(1, 1))
    update_folder(folder, {"manifest.json": b"new"})
    assert content_of(folder) == {**OLD, "manifest.json": b"new", "link": b"old only"}
    assert (folder / "old.txt").stat().st_mtime_ns == 1
    assert (folder / "link").is_symlink()


@pytest.mark.parametrize("name", ["onnx", "onnx/model.onnx"])
def test_what_stands_in_the_way_of_a_part_stays(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "project"
    mine = {name: b"mine"} if name == "onnx" else {f"{name}/mine": b"mine"}
    write_folder(folder, mine)
    with refused(StorageError, str(folder), "a file stands where a folder is needed"):
        update_folder(folder, NEW)
    assert content_of(folder) == mine
    assert names_in(tmp_path) == {"project"}


def test_file_name_that_leaves_the_folder_is_refused_and_nothing_written(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "bundle"
    write_folder(folder, OLD)
    with refused(UnsafeError, "../../out"):
        write_folder(folder, {"good": b"", "../../out": b"bad"})
    assert content_of(folder) == OLD
    assert names_in(tmp_path) == {"in"}
    assert names_in(tmp_path / "in") == {"bundle"}


@pytest.mark.parametrize(
    ("what", "steps"),
    [
        ("kill_folder", 30),
        ("kill_folder_where_none_was", 25),
        ("kill_without_exchange", 30),
        ("kill_part_of_a_folder", 40),
        ("kill_file", 10),
    ],
)
def test_a_writer_killed_at_any_step_leaves_the_old_or_the_new_and_nothing_after_a_rerun(
    tmp_path: Path, what: str, steps: int
) -> None:
    assert kills_of(what, tmp_path) >= steps


def test_recovery_puts_back_the_folder_that_a_crash_moved_aside(tmp_path: Path) -> None:
    write_folder(tmp_path / "bundle", OLD)
    (tmp_path / "bundle").rename(tmp_path / ".bundle.previous")
    recover_folder(tmp_path / "bundle")
    assert content_of(tmp_path / "bundle") == OLD
    assert names_in(tmp_path) == {"bundle"}


def test_next_run_removes_the_unfinished_file_of_a_killed_one_and_no_other(tmp_path: Path) -> None:
    files = {".file.ab_c3456.tmp": b"", ".mine.tmp": b"mine", "x.ab_c3456.tmp": b"mine"}
    write_folder(tmp_path / "model", files)
    with exclusive(tmp_path / "model"):
        assert names_in(tmp_path / "model") == {".mine.tmp", "x.ab_c3456.tmp"}


def test_recovery_leaves_a_folder_that_is_there_and_one_that_never_was(tmp_path: Path) -> None:
    write_folder(tmp_path / "bundle", OLD)
    recover_folder(tmp_path / "bundle")
    recover_folder(tmp_path / "none")
    assert content_of(tmp_path / "bundle") == OLD
    assert names_in(tmp_path) == {"bundle"}


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
