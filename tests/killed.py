"""Writers that are killed at every step they take; run as a program, it prints what was counted.

A process of its own forks for each step: the one that runs the tests has threads, which may not.
"""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline import disk
from pipeline.storage import exclusive, update_file, update_folder, write_folder

KILLED = 9
OLD = {"manifest.json": b"old", "onnx/model.onnx": b"old graph", "old.txt": b"old only"}
NEW = {"onnx/model.onnx": b"new graph", "manifest.json": b"new"}
os.fsync = lambda fd: None  # what a killed process has written is there without it, and sooner
_STEPS = ("open", "os.", "shutil.", "fcntl.flock")  # audit events, each raised before it happens


def content_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _die_at(last: int) -> None:
    """Let this process end without a word at that step of those that touch the file system."""
    steps = itertools.count(1)

    def step(event: str, _: Any = ()) -> None:
        if event.startswith(_STEPS) and next(steps) == last:
            os._exit(KILLED)

    def before(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            step(name)
            return call(*arguments)

        return wrapped

    os.fsync = before("os.fsync", os.fsync)
    disk.exchange = before("os.exchange", disk.exchange)
    sys.addaudithook(step)


def at_every_step(
    prepare: Callable[[], None],
    write: Callable[[], None],
    look: Callable[[], None],
    stride: int = 1,
) -> int:
    """Kill ``write`` at its first step, its second, …; ``look`` after each. How many there were."""
    for count, step in enumerate(itertools.count(1, stride)):
        prepare()
        child = os.fork()
        if child == 0:
            try:
                _die_at(step)
                write()
                os._exit(0)
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, KILLED), code
        look()
        if code == 0:
            return count
    raise AssertionError


def _replaced(folder: Path, files: Mapping[str, bytes]) -> None:
    with exclusive(folder):
        write_folder(folder, files)


def kill_folder(root: Path) -> int:
    """Of a folder that replaces another: the old one, or the new one, and nothing after a rerun."""
    folder = root / "bundle"

    def look() -> None:
        with exclusive(folder):
            assert content_of(folder) in (OLD, NEW)
        assert names_in(root) == {"bundle"}
        _replaced(folder, NEW)
        assert content_of(folder) == NEW
        assert names_in(root) == {"bundle"}

    return at_every_step(lambda: _replaced(folder, OLD), lambda: _replaced(folder, NEW), look)


def kill_folder_where_none_was(root: Path) -> int:
    """Of a folder and its parents that are made: absent or whole."""
    folder = root / "a" / "b" / "bundle"

    def look() -> None:
        assert not folder.exists() or content_of(folder) == NEW
        _replaced(folder, NEW)
        assert content_of(root / "a") == {f"b/bundle/{name}": data for name, data in NEW.items()}
        assert names_in(folder.parent) == {"bundle"}

    def prepare() -> None:
        shutil.rmtree(root / "a", ignore_errors=True)

    return at_every_step(prepare, lambda: _replaced(folder, NEW), look)


def kill_part_of_a_folder(root: Path) -> int:
    """Of a folder in which some files are replaced: all of it is old or new, at any time."""
    folder = root / "project"
    old = {**OLD, "build/deep/x.o": b"made"}
    new = {**NEW, "build/deep/x.o": b"made"}

    def look() -> None:
        assert content_of(folder) in (old, new)  # without a rerun, where folders can be exchanged
        update()
        assert content_of(folder) == new
        assert names_in(root) == {"project"}

    def update() -> None:
        with exclusive(folder):
            update_folder(folder, NEW, {"old.txt"})

    return at_every_step(lambda: _replaced(folder, old), update, look, stride=2)


def kill_file(root: Path) -> int:
    """Of a file that a user named."""
    path = root / "report.html"

    def look() -> None:
        assert path.read_bytes() in (b"old", b"new")
        update_file(path, b"new")
        assert content_of(root) == {"report.html": b"new"}

    return at_every_step(lambda: update_file(path, b"old"), lambda: update_file(path, b"new"), look)


def kill_project(root: Path, bundle: str) -> int:
    """Of an embedded project: a run without --force goes on from it or leaves it, never refuses."""
    from pipeline.bundle import open_bundle
    from pipeline.embed.project import project_files, write_project
    from pipeline.embed.targets import TARGETS

    opened, folder = open_bundle(Path(bundle)), root / "project"
    files = project_files(opened, TARGETS["python"])

    def project(target: str, force: bool = True) -> None:
        write_project(opened, TARGETS[target], folder, force)

    project("c", force=False)
    (folder / "notes.txt").write_text("mine")
    other = content_of(folder)
    mine = {"notes.txt": b"mine"}

    def look() -> None:
        assert content_of(folder) in (other, files | mine)
        project("python")
        assert content_of(folder) == files | mine
        assert names_in(root) == {"project"}

    killed = at_every_step(
        lambda: project("c"),
        lambda: project("python"),
        look,
        stride=9,
    )

    def look_anew() -> None:
        assert not folder.exists() or content_of(folder) == files
        project("python", force=False)
        assert content_of(folder) == files
        assert names_in(root) == {"project"}

    return killed + at_every_step(
        lambda: shutil.rmtree(folder),
        lambda: project("python", force=False),
        look_anew,
        stride=7,
    )


def kill_checkpoint(root: Path, source: str) -> int:
    """Of a checkpoint that replaces another, with a snapshot: one of them, and nothing beside."""
    from pipeline import checkpoint as store

    folder = root / "model"
    made = store.read_checkpoint(Path(source))
    weights = (Path(source) / made.weights.file).read_bytes()
    other = b"other weights"
    named = made.weights.model_copy(update={"file": "weights-0.safetensors"})
    old = made.model_copy(update={"weights": named})

    def write() -> None:
        with exclusive(folder):
            store.write_checkpoint(folder, made, weights)

    def prepare() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        store.write_checkpoint(folder, old, other)
        shutil.copy(Path(source) / store.TRAINING_FILE, folder)

    def look() -> None:
        found = store.read_checkpoint(folder)
        assert (folder / found.weights.file).read_bytes() in (other, weights)
        if found == made:  # and then nothing is trained
            with exclusive(folder):
                store.drop_remains(folder, found)
        else:
            write()
        assert names_in(folder) == {store.CHECKPOINT_FILE, made.weights.file}
        assert names_in(root) == {"model"}

    return at_every_step(prepare, write, look, stride=3)


def kill_without_exchange(root: Path) -> int:
    """Of a folder where two cannot change places: the next run puts back the one moved aside."""
    disk._exchange_call = lambda: None
    return kill_folder(root)


def kills_of(name: str, *arguments: object) -> int:
    """Run a function of this file in a process of its own; how often it killed the writer."""
    command = [sys.executable, __file__, name, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


if __name__ == "__main__":
    sys.stdout.write(str(globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])))
