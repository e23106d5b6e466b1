"""The models that are tortured: trained for an instant, exported, validated, embedded, once.

<model>/checkpoints/<model>/   <model>/exported/<model>/   <model>/projects/<target>/
<model>/unfinished/<model>/    a training that was killed, for train --resume
built/<model>/<target>/        what the replay of a project needs beside its files
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file

from torture.events import killing_at_rename
from torture.forked import Ended, pipeline

SHARED_MEMORY = Path("/dev/shm")
TEXT = "the cat sat on the mat; the dog sat on the cat. " * 12 + "what did the mat do? "
_FEW = ["--hidden-size=4", "--epochs=3", "--batch-size=4", "--window=16", "--threads=1"]
_SURE = ("--precision=float32", "--device=cpu")
TRAINED = {
    "wave": ("--task=sine", "--cell=gru", "--length=200"),
    "words": ("--cell=lstm", "--text=words.txt", "--embedding-size=3"),
}
RUNS = {
    "wave": ("run", "wave", "--history=history.csv", "--steps=3", "--seed=1"),
    "words": ("run", "words", "--prompt=the", "--length=3", "--seed=1"),
}


def train_command(model: str, *more: str) -> tuple[str, ...]:
    """The command that trains ``model``, the same way each time."""
    return ("train", *TRAINED[model], f"--name={model}", *_FEW, *_SURE, *more)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that goes away, in memory where there is some: a flip copies many small files."""
    place = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
    with TemporaryDirectory(prefix="torture-", dir=place) as folder:
        yield Path(folder).resolve()


@dataclass(frozen=True)
class Originals:
    """The folder of the originals; nothing in it is changed after it was made."""

    root: Path

    def copy(self, model: str, target: Path) -> Path:
        """A copy of all that belongs to ``model``, to be spoilt."""
        shutil.copytree(self.root / model, target, symlinks=True)
        return target

    def built(self, model: str, target: str) -> Path:
        """What was built of the project of ``target``: a binary of its own, or packages of npm."""
        return self.root / "built" / (model if target == "c" else "wave") / target


def short_streams() -> None:
    """Let validations be short; how long they really are, others test."""
    from pipeline.validate import cases, free_run
    from pipeline.validate.loops import cases as loops_cases

    cases.STREAM, cases.STREAM_PIECES = 600, 30
    free_run.STEPS = 40
    loops_cases.LENGTH = 40


def hasty_clock() -> None:
    """For ``prepare`` of a fork: a minute passes at each look at the clock, so snapshots come."""
    real, looks = time.monotonic, count()
    time.monotonic = lambda: real() + 61 * next(looks)


def make_originals(root: Path, targets: tuple[str, ...], say: Callable[[str], None]) -> Originals:
    """Make all originals below ``root``, with the projects of ``targets``."""
    originals = Originals(root)
    short_streams()
    for model in TRAINED:
        folder = root / model
        folder.mkdir(parents=True)
        say(f"making {model}")
        (folder / "words.txt").write_text(TEXT, encoding="utf-8")
        (folder / "history.csv").write_text("y\n" + "0.5\n-0.5\n" * 8)
        _must(pipeline(train_command(model), folder))
        _must(pipeline(("export",), folder))
        _must(pipeline(("validate", "--runtime=onnxruntime"), folder, limit=120))
        _unfinished(model, folder)
        weights = next((folder / f"checkpoints/{model}").glob("weights-*.safetensors"))
        torch.save(_state_dict(weights), folder / "weights.pt")
        for target in targets:
            _must(pipeline(("embed", model, target, f"--out=projects/{target}"), folder))
    for target in targets:
        say(f"building {target}")
        for model in TRAINED:
            if not (built := originals.built(model, target)).exists():
                build(target, root / model / "projects" / target, built)
    return originals


def _unfinished(model: str, folder: Path) -> None:
    """A training of ``model`` that was killed after its first snapshot."""
    file = "training.safetensors"
    command = train_command(model, "--checkpoints=unfinished")
    stop = killing_at_rename(folder, file, 1)

    def prepare() -> None:
        hasty_clock()
        stop()

    ended = pipeline(command, folder, prepare=prepare)
    unfinished = folder / "unfinished"
    for path in (*unfinished.rglob("*.tmp"), *unfinished.rglob("*.lock")):
        path.unlink()
    if not (unfinished / model / file).is_file():
        raise RuntimeError(f"{ended.command} ended with {ended.code}, without {file}: {ended.err}")


def _state_dict(weights: Path) -> dict[str, torch.Tensor]:
    """Weights of the recurrent layers and the head, as others would have saved them."""
    return {name: value for name, value in load_file(weights).items() if "scaler" not in name}


def _must(ended: Ended) -> None:
    if ended.code:
        raise RuntimeError(f"{ended.command} ended with {ended.code}: {ended.err[-2000:]}")


def build(target: str, project: Path, built: Path) -> None:
    """Build a copy of a project; all replays of copies of it borrow from there."""
    from pipeline.embed.replay import build as build_project
    from pipeline.embed.targets import find_target

    shutil.copytree(project, built)
    build_project(find_target(target), built)
