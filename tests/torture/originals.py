"""The models that are tortured: trained for an instant, exported, validated, embedded, once.

<model>/exported/<model>/      <model>/projects/<target>/
<model>/checkpoints/<model>/   of a network, which was trained
<model>/unfinished/<model>/    of a network, a training that was killed, for train --resume
<model>/<model>.py             of a module, its Python
built/<model>/<target>/        what the replay of a project needs beside its files
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file

from pipeline.contract import Bundle, open_bundle
from pipeline.embed.project import project_files
from pipeline.embed.targets import find_target
from pipeline.errors import UsageError
from pipeline.trust import Trust
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
MODULES = {"voice": ("voice.py:Voice", "--input=x=float32[batch,time,1]")}
MODELS = (*TRAINED, *MODULES)


def train_command(model: str, *more: str) -> tuple[str, ...]:
    """The command that trains ``model``, the same way each time."""
    return ("train", *TRAINED[model], f"--name={model}", *_FEW, *_SURE, *more)


def resume_command(model: str) -> tuple[str, ...]:
    """The command that ends the training of ``model`` that was killed."""
    return train_command(model, "--resume", "--checkpoints=unfinished")


def export_command(model: str, *more: str) -> tuple[str, ...]:
    """The command that exports ``model``."""
    own = (*MODULES[model], f"--name={model}") if model in MODULES else ()
    return ("export", *own, *more)


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

    def bundle(self, model: str) -> Bundle:
        """The bundle of ``model`` as it was made."""
        return open_bundle(self.root / model / "exported" / model)

    def targets(self, model: str, targets: tuple[str, ...]) -> Iterator[str]:
        """Those of ``targets`` that take ``model``."""
        return (target for target in targets if takes(self.bundle(model).folder, target))

    def built(self, model: str, target: str) -> Path:
        """What was built of the project of ``target``: a binary of its own, or packages of npm."""
        return self.root / "built" / (model if target == "c" else "wave") / target


@cache
def takes(folder: Path, target: str) -> bool:
    """Whether ``target`` takes the bundle in ``folder``, as it says itself."""
    try:
        project_files(open_bundle(folder), find_target(target), Trust(everything=True))
    except UsageError:
        return False
    return True


def own_settings(folder: Path) -> None:
    """Let this process and its forks have the settings of a user who never was here.

    An export of a module notes there that its TorchScript may run. Nor is Python's own cache of a
    user's file left beside it.
    """
    os.environ["XDG_CONFIG_HOME"] = str(folder)
    sys.dont_write_bytecode = True


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
    for model in MODELS:
        folder = root / model
        folder.mkdir(parents=True)
        say(f"making {model}")
        (folder / "words.txt").write_text(TEXT, encoding="utf-8")
        (folder / "history.csv").write_text("y\n" + "0.5\n-0.5\n" * 8)
        if model in TRAINED:
            _train(model, folder)
        else:
            source = f"{model}.py"
            shutil.copy(Path(__file__).with_name(source), folder / source)
        _must(pipeline(export_command(model), folder, limit=120))
        _must(pipeline(("validate", "--runtime=onnxruntime"), folder, limit=120))
        for target in originals.targets(model, targets):
            _must(pipeline(("embed", model, target, f"--out=projects/{target}"), folder))
    for model in MODELS:
        for target in originals.targets(model, targets):
            say(f"building {target}")
            if not (built := originals.built(model, target)).exists():
                build(target, root / model / "projects" / target, built)
    return originals


def _train(model: str, folder: Path) -> None:
    """A checkpoint of ``model``, an unfinished one, and its weights as others would have them."""
    _must(pipeline(train_command(model), folder))
    _unfinished(model, folder)
    weights = next((folder / f"checkpoints/{model}").glob("weights-*.safetensors"))
    torch.save(_state_dict(weights), folder / "weights.pt")


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
    from pipeline.embed.building import build as build_project

    shutil.copytree(project, built)
    build_project(find_target(target), built)
