"""Files are read with care: nothing waits, leads elsewhere, or takes memory without need."""

import os
import posixpath
import socket
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import refused

from pipeline import reading
from pipeline.errors import MalformedError, StorageError, UnsafeError
from pipeline.reading import parse_json, read_file, read_inside, safe_path

# --- names


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "./",
        "..",
        "../x",
        "a/..",
        "a/../../x",
        "/etc/passwd",
        "//server/share",
        "C:x",
        "C:\\x",
        "\\x",
        "..\\x",
        "a\0b",
        "a\nb",
        "\ud800",
    ],
)
def test_hostile_name_is_unsafe(name: str) -> None:
    with refused(UnsafeError):
        safe_path(name)


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet="ab./\\: \0\n~é\ud800", max_size=10) | st.text(max_size=20))
def test_name_that_is_let_through_stays_below_its_folder(name: str) -> None:
    try:
        path = safe_path(name)
    except UnsafeError:
        return
    assert posixpath.normpath(f"/folder/{path}").startswith("/folder/")
    assert b"\0" not in os.fsencode(path)


PART = st.from_regex(r"[a-zA-Z0-9_-]+(\.[a-z0-9]+)?", fullmatch=True)


@settings(max_examples=100, deadline=None)
@given(st.lists(PART, min_size=1, max_size=4))
def test_plain_name_is_let_through_unchanged(parts: list[str]) -> None:
    assert safe_path("/".join(parts)) == PurePosixPath(*parts)


# --- what a user gave


def test_a_missing_file_is_named_for_the_reader(tmp_path: Path) -> None:
    with refused(MalformedError, "the map is missing", str(tmp_path / "x")):
        read_file(tmp_path / "x", "the map")


def test_a_folder_in_place_of_a_file_is_a_storage_error(tmp_path: Path) -> None:
    with refused(StorageError, f"cannot read {tmp_path}", "is a directory"):
        read_file(tmp_path, "the map")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_no_file(device: str) -> None:
    with refused(MalformedError, device, "give the map as a file"):
        read_file(Path(device), "the map")


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = Thread(target=lambda: (tmp_path / "pipe").write_bytes(b"content"))
    writer.start()
    assert read_file(tmp_path / "pipe", "the map") == b"content"
    writer.join()


def test_a_file_beyond_memory_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(path: Path) -> bytes:
        raise MemoryError

    (tmp_path / "x").touch()
    monkeypatch.setattr(Path, "read_bytes", exhausted)
    with refused(StorageError, str(tmp_path / "x"), "does not fit into memory"):
        read_file(tmp_path / "x", "the map")


# --- what an artefact holds


@pytest.fixture(params=["below open folders", "by their paths"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of opening a file, of which a system has one or the other."""
    monkeypatch.setattr(reading, "_BELOW_FOLDERS", request.param == "below open folders")


def link_to_a_file(folder: Path) -> None:
    (folder / "a" / "file").symlink_to(folder.parent / "outside")


def link_to_nothing(folder: Path) -> None:
    (folder / "a" / "file").symlink_to("nowhere")


def link_to_a_device(folder: Path) -> None:
    (folder / "a" / "file").symlink_to("/dev/zero")


def link_in_between(folder: Path) -> None:
    (folder / "a").rmdir()
    (folder / "a").symlink_to(folder.parent)


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "a" / "file")


def listening(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / "a" / "file"))


def inner_folder(folder: Path) -> None:
    (folder / "a" / "file").mkdir()


def file_in_between(folder: Path) -> None:
    (folder / "a").rmdir()
    (folder / "a").write_bytes(b"content")


def sparse(folder: Path) -> None:
    with (folder / "a" / "file").open("wb") as file:
        file.truncate(20 * 2**30)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (link_to_a_file, UnsafeError, "link"),
        (link_to_nothing, UnsafeError, "link"),
        (link_to_a_device, UnsafeError, "link"),
        (link_in_between, UnsafeError, "link"),
        (pipe, MalformedError, "no regular file"),
        (listening, MalformedError, "no regular file"),
        (inner_folder, MalformedError, "no regular file"),
        (file_in_between, MalformedError, "no regular file"),
        (sparse, MalformedError, "21,474,836,480 bytes"),
        (lambda folder: None, MalformedError, "the map is missing"),
    ],
)
def test_only_a_regular_file_of_the_artefact_itself_is_read(
    tmp_path: Path, make: Callable[[Path], None], error: Any, words: str
) -> None:
    folder = tmp_path / "artefact"
    (folder / "a").mkdir(parents=True)
    (tmp_path / "outside").write_bytes(b"secret")
    (tmp_path / "file").write_bytes(b"secret")
    make(folder)
    with refused(error, words, str(folder / "a" / "file")):
        read_inside(folder, "a/file", "the map")


@pytest.mark.usefixtures("way")
def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real" / "a").mkdir(parents=True)
    (tmp_path / "real" / "a" / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("real")
    assert read_inside(tmp_path / "link", "a/file", "the map") == b"content"


@pytest.mark.usefixtures("way")
def test_no_more_is_read_than_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_inside(tmp_path, "file", "the map", 5) == b"12345"
    with refused(MalformedError, "5 bytes", "more than the 4"):
        read_inside(tmp_path, "file", "the map", 4)
    with refused(UnsafeError, "leaves its folder"):
        read_inside(tmp_path, "../file", "the map")


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "link").symlink_to("file")
    (tmp_path / "a" / "file").write_bytes(b"content")
    before = len(os.listdir("/dev/fd"))
    for name in ("a/file", "a/link", "a/none", "a", "b/file"):
        try:
            read_inside(tmp_path, name, "the map")
        except (MalformedError, UnsafeError):
            continue
    assert len(os.listdir("/dev/fd")) == before


# --- JSON


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b"\xff\xfe\xfd",
        b"\xef\xbb\xbf{}",
        b"[1,]",
        b"1 2",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 5000,
        b"NaN",
        b"[-Infinity]",
        b"1e999",
        b'{"a": 1, "a": 2}',
        b'"\\ud800"',
        b'{"\\udc00": 1}',
    ],
    ids=lambda data: data[:12].decode("latin-1"),
)
def test_what_is_not_json_is_malformed(data: bytes) -> None:
    with refused(MalformedError, "x.json", "not JSON"):
        parse_json(data, Path("x.json"))


def test_escapes_of_whole_characters_are_json() -> None:
    assert parse_json(b'"\\ud83e\\udd8a \\u00e9"', Path("x.json")) == "🦊 é"
