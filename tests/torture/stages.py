"""The stages that write, what each begins with and what it makes, for kills and full disks.

Each stage replaces an old artefact (A) by a new one (B), or begins with nothing. Whatever happens
to it on the way, A or B must be there, whole; and run again, it ends in B and leaves nothing else.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torture.forked import Ended, pipeline
from torture.originals import Originals, export_command, train_command

Tree = dict[str, bytes]

# Holds times, so it is never the same twice; that it is right is for `inspect` to say.
_VARIES = {"validation.json", "report.html", "junit.xml", "manifest.json"}


def tree(folder: Path) -> Tree:
    """Every file below ``folder``, or the file itself, by its path; locks and remains too."""
    if folder.is_file():
        return {folder.name: folder.read_bytes()}
    paths = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@dataclass(frozen=True)
class Stage:
    """A command that writes ``artefact``, from what ``begin`` leaves in a copy of the originals.

    Where the artefact is a folder that is seen only by a file in it, ``marker`` is that file.
    ``check`` is a command that must succeed whenever the artefact is there. ``varies``: two runs do
    not give the same bytes.
    """

    name: str
    model: str
    command: tuple[str, ...]
    artefact: str
    begin: Callable[[Path], None]
    marker: str = ""
    check: tuple[str, ...] = ()
    varies: bool = False

    def __str__(self) -> str:
        return self.name

    def prepare(self, originals: Originals, folder: Path) -> Path:
        """A fresh folder to run the stage in."""
        originals.copy(self.model, folder)
        self.begin(folder)
        return folder


@dataclass(frozen=True)
class Before:
    """A stage with what it begins with (A) and what it makes of it (B), and how long it takes."""

    stage: Stage
    old: Tree
    new: Tree
    names: frozenset[str] = field(repr=False)  # of all files in the folder at the end
    changes: int = 0
    seconds: float = 0.0

    def broken(self, folder: Path) -> str:
        """What is wrong with the artefact in ``folder``: neither the old one, nor the new, whole.

        Files beside, that wait to be renamed or removed, do no harm.
        """
        found = tree(folder / self.stage.artefact)
        shown = {name for name in found if not Path(name).name.startswith(".")}
        if not self.old and (not shown or (self.stage.marker and self.stage.marker not in found)):
            return ""
        missing = {self._lacks(found, self.new), self._lacks(found, self.old) if self.old else "-"}
        if "" not in missing:
            return f"half: neither the old nor the new {self.stage.artefact}: {missing}"
        return self._check(folder)

    def unfinished(self, folder: Path) -> str:
        """What is wrong with ``folder`` after the stage has been run again."""
        lacks = self._lacks(tree(folder / self.stage.artefact), self.new)
        if lacks:
            return f"lost: not the new {self.stage.artefact} after a rerun: {lacks}"
        left = tree(folder).keys() - self.names
        if left:
            return f"left behind: {', '.join(sorted(left))[:200]}"
        return self._check(folder)

    def _check(self, folder: Path) -> str:
        if not self.stage.check:
            return ""
        ended = pipeline(self.stage.check, folder)
        return f"lost: {ended.command}: {ended.err[-200:]}" if ended.code else ""

    def _lacks(self, found: Tree, whole: Tree) -> str:
        """The first file of ``whole`` that is missing or other in ``found``."""
        for name, data in whole.items():
            if name not in found:
                return f"no {name}"
            if found[name] != data and not (self.stage.varies and Path(name).name in _VARIES):
                return f"another {name}"
        return ""


def run(stage: Stage, folder: Path, **options: object) -> Ended:
    """Run the command of ``stage`` in ``folder``."""
    return pipeline(stage.command, folder, limit=120, **options)


def _removing(*paths: str) -> Callable[[Path], None]:
    def begin(folder: Path) -> None:
        for path in paths:
            shutil.rmtree(folder / path)

    return begin


def _nothing(folder: Path) -> None:
    pass


def _imported(folder: Path) -> None:
    ended = pipeline(("import", "weights.pt", "--name=other", *_SERIES), folder)
    assert ended.code == 0, ended.err


def _unvalidated(folder: Path) -> None:
    shutil.rmtree(folder / "exported")
    ended = pipeline(("export",), folder)
    assert ended.code == 0, ended.err


def _half_trained(folder: Path) -> None:
    shutil.rmtree(folder / "checkpoints")
    (folder / "unfinished").rename(folder / "checkpoints")


def _drawn(folder: Path) -> None:
    ended = pipeline(("inspect", "--plot=picture.svg"), folder)
    assert ended.code == 0, ended.err
    (folder / "picture.svg").write_bytes(b"an old picture")


_SERIES = ("--task=series",)
_IMPORT = ("import", "weights.pt", "--name=other", *_SERIES)
_WAVE, _WORDS, _VOICE = "wave", "words", "voice"
_EXPORT_VOICE = export_command(_VOICE)

_VALIDATE = ("validate", "--runtime=onnxruntime")

# Those that take the least time first: a small part of the suite takes the first of them.
STAGES = (
    Stage("import", _WAVE, _IMPORT, "checkpoints/other", _nothing, "checkpoint.json"),
    Stage("embed", _WAVE, ("embed", "wave", "c", "--out=new"), "new", _nothing),
    Stage("inspect --plot", _WAVE, ("inspect", "--plot=picture.svg"), "picture.svg", _drawn),
    Stage(
        "import again",
        _WAVE,
        (*_IMPORT, "--scaler=1,2", "--output-scaler=1,2", "--force"),
        "checkpoints/other",
        _imported,
    ),
    Stage(
        "embed again",
        _WORDS,
        ("embed", "words", "c", "--out=projects/python", "--force"),
        "projects/python",
        _nothing,
    ),
    Stage("export", _WORDS, ("export",), "exported/words", _removing("exported")),
    Stage("export a module", _VOICE, _EXPORT_VOICE, "exported/voice", _removing("exported")),
    Stage(
        "export a module again",
        _VOICE,
        (*_EXPORT_VOICE, "--opset=19"),
        "exported/voice",
        _nothing,
        check=("inspect",),
    ),
    Stage(
        "train",
        _WORDS,
        train_command(_WORDS),
        "checkpoints/words",
        _removing("checkpoints"),
        "checkpoint.json",
    ),
    Stage(
        "train --resume",
        _WAVE,
        train_command(_WAVE, "--resume"),
        "checkpoints/wave/checkpoint.json",
        _half_trained,
    ),
    Stage("train again", _WAVE, train_command(_WAVE, "--seed=7"), "checkpoints/wave", _nothing),
    Stage(
        "export again",
        _WAVE,
        ("export", "--opset=19"),
        "exported/wave",
        _nothing,
        check=("inspect",),
    ),
    Stage(
        "validate",
        _WAVE,
        (*_VALIDATE, "--junit=junit.xml"),
        "exported/wave",
        _unvalidated,
        check=("inspect",),
        varies=True,
    ),
    Stage(
        "validate again",
        _WORDS,
        (*_VALIDATE, "--force"),
        "exported/words",
        _nothing,
        check=("inspect",),
        varies=True,
    ),
)
