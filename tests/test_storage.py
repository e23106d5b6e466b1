import errno
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from killed import NEW, OLD, content_of, kills_of, names_in
from tiny import fail_on_call, missing, refused

from pipeline import disk, storage
from pipeline.errors import StorageError, UnsafeError
from pipeline.storage import (
    canonical_json,
    exclusive,
    recover_folder,
    sha256,
    update_file,
    update_folder,
    write_file,
    write_folder,
)

FULL = OSError(errno.ENOSPC, "No space left on device")


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


# --- links, and what may not be written


def test_a_link_stays_a_link_and_its_folder_is_what_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    write_folder(tmp_path / "elsewhere" / "x", OLD)
    link = tmp_path / "x"
    link.symlink_to(tmp_path / "elsewhere" / "x")
    for files in (NEW, OLD):
        with exclusive(link):
            assert names_in(tmp_path / "elsewhere") == {"x", ".x.lock"}
            with refused(StorageError, "another run"), exclusive(tmp_path / "elsewhere" / "x"):
                pass
            write_folder(link, files)
        assert link.is_symlink()
        assert content_of(tmp_path / "elsewhere" / "x") == files
        assert names_in(tmp_path / "elsewhere") == {"x"}
        assert names_in(tmp_path) == {"elsewhere", "x"}


@pytest.mark.parametrize("target", ["nowhere", "x"])
def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, target: str) -> None:
    link = tmp_path / "x"
    link.symlink_to(target)
    with refused(StorageError, str(link), f"a link to {target}"):
        write_folder(link, NEW)
    with refused(StorageError, str(link), f"a link to {target}"), exclusive(link):
        pass
    with refused(StorageError, str(link), f"a link to {target}"):
        update_file(link, b"new")
    assert names_in(tmp_path) == {"x"}


def test_a_linked_file_that_a_user_named_stays_linked(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    path = tmp_path / "www" / "report.html"
    path.write_bytes(b"old")
    link = tmp_path / "report.html"
    link.symlink_to(path)
    update_file(link, b"new")
    assert link.is_symlink()
    assert content_of(tmp_path / "www") == {"report.html": b"new"}
    same = path.stat().st_mtime_ns
    update_file(link, b"new")
    assert path.stat().st_mtime_ns == same


def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to(os.devnull)
    for name in ("pipe", "null"):
        with refused(StorageError, name, "is not a file"):
            update_file(tmp_path / name, b"new")
    assert (tmp_path / "pipe").is_fifo()
    assert names_in(tmp_path) == {"pipe", "null"}


READ_ONLY = """
import os, sys
from pathlib import Path
from pipeline.errors import StorageError
from pipeline.storage import exclusive, update_folder, write_folder
folder, files = Path(sys.argv[1]), {"onnx/model.onnx": b"new"}
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
for write in (write_folder, update_folder, write_folder):
    try:
        with exclusive(folder):
            write(folder, files)
    except StorageError as error:
        print(error)
    else:
        print("written")
"""


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """A folder that nobody but the user without privileges may write, if root runs the tests."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_folder(folder / "bundle", OLD)
        if os.geteuid() == 0:
            for path in (folder, folder / "bundle", *(folder / "bundle").rglob("*")):
                os.chown(path, 65534, 65534)
        yield folder
        folder.chmod(0o700)
        disk.remove(folder / "bundle")


def test_a_read_only_folder_is_refused_before_anything_is_moved(nobodys: Path) -> None:
    folder = nobodys / "bundle"
    for path in (*(folder).rglob("*"), folder):
        path.chmod(path.stat().st_mode & ~0o222)
    result = python(READ_ONLY, folder)
    lines = result.stdout.splitlines()
    assert ["is read-only; make it writable" in line for line in lines] == [True] * 3, result
    assert content_of(folder) == OLD
    assert names_in(nobodys) == {"bundle"}


def test_a_read_only_part_is_replaced_by_its_owner(nobodys: Path) -> None:
    (nobodys / "bundle" / "onnx").chmod(0o500)
    assert python(READ_ONLY, nobodys / "bundle").stdout.split() == ["written"] * 3
    assert content_of(nobodys / "bundle") == {"onnx/model.onnx": b"new"}
    assert names_in(nobodys) == {"bundle"}


def test_a_folder_in_a_read_only_one_is_refused(nobodys: Path) -> None:
    nobodys.chmod(0o555)
    lines = python(READ_ONLY, nobodys / "bundle").stdout.splitlines()
    assert ["permission denied" in line for line in lines] == [True] * 3
    assert content_of(nobodys / "bundle") == OLD
    assert names_in(nobodys) == {"bundle"}


def test_a_part_of_somebody_else_that_is_read_only_is_refused(nobodys: Path) -> None:
    if os.geteuid() != 0:
        missing("only root can give a folder to somebody else")
    os.chown(nobodys / "bundle" / "onnx", 0, 0)
    lines = python(READ_ONLY, nobodys / "bundle").stdout.splitlines()
    assert ["onnx is read-only" in line for line in lines] == [True] * 3
    assert content_of(nobodys / "bundle") == OLD
    assert names_in(nobodys) == {"bundle"}


def test_what_an_earlier_run_could_not_remove_is_no_hindrance(nobodys: Path) -> None:
    """A previous folder that its owner had made read-only stayed, and every later run failed."""
    previous = nobodys / ".bundle.previous"
    write_folder(previous, OLD)
    for path in (*previous.rglob("*"), previous):
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
        path.chmod(path.stat().st_mode & ~0o222)
    assert python(READ_ONLY, nobodys / "bundle").stdout.split() == ["written"] * 3
    assert names_in(nobodys) == {"bundle"}


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
    assert names_in(folder.parent) == {".model.lock"}
    with exclusive(folder):
        pass
    assert names_in(folder.parent) == set()


def test_refused_writer_ends_with_the_code_of_storage() -> None:
    assert StorageError.exit_code == 8


def test_lock_is_free_after_an_error_and_other_folders_always_are(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), exclusive(tmp_path / "a"):
        _ = 1 / 0
    with exclusive(tmp_path / "a"), exclusive(tmp_path / "b"):
        assert names_in(tmp_path) == {".a.lock", ".b.lock"}
    assert names_in(tmp_path) == set()


COUNTING = """
import sys
from pathlib import Path
from pipeline.storage import exclusive
counter = Path(sys.argv[1])
for _ in range(50):
    with exclusive(counter, 60):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def test_writers_that_take_turns_lose_nothing_and_leave_no_lock(tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    command = [sys.executable, "-c", COUNTING, str(tmp_path / "counter")]
    writers = [subprocess.Popen(command) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert content_of(tmp_path) == {"counter": b"150"}


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
