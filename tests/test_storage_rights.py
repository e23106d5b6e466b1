"""Links stay links, and what may not be written is refused before anything is moved."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import python
from killed import NEW, OLD, content_of, names_in
from tiny import missing, refused

from pipeline import disk
from pipeline.errors import StorageError
from pipeline.storage import exclusive, update_file, write_folder


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
