"""One writer at a time: the others are refused, or take turns."""

import subprocess
import sys
from pathlib import Path

import pytest
from killed import content_of, names_in
from tiny import refused

from pipeline.errors import StorageError
from pipeline.storage import exclusive

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
