"""Hostile cases of files: links, pipes, devices, sparse files, and names that lead elsewhere."""

import os
import socket
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.contract.files import (
    CARD_FILE,
    GOLDEN_FILE,
    INITIAL_FILE,
    ONNX_FILE,
    TORCHSCRIPT_FILE,
    VALIDATION_FILE,
    WEIGHTS_FILE,
)
from torture.cases import (
    CHECKPOINT,
    MANIFEST,
    Hostile,
    Spoil,
    bundle_commands,
    bundle_of,
    checkpoint_commands,
    checkpoint_of,
    in_place_of,
    relist,
    rewriting,
    rewriting_checkpoint,
)
from torture.commands import TORCHSCRIPT, TRUSTED, Command
from torture.originals import Originals, export_command, resume_command

_SPARSE = 20 * 2**30  # bytes
SECRET = "secret.txt"  # a file outside of the folder that commands are given


def _link(target: Callable[[Path], Path | str]) -> Callable[[Path], None]:
    return lambda path: in_place_of(path).symlink_to(target(path))


def _moved(path: Path) -> Path:
    """``path`` moved out of the copy, so that a link to it would be read as if it were there."""
    outside = path.parents[0]
    while outside.name != "copy":
        outside = outside.parent
    place = outside.parent / "outside" / "moved"
    path.rename(place)
    return place


def _device(path: Path) -> None:
    """A device of its own, where that may be made; a link to one elsewhere."""
    in_place_of(path)
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        path.symlink_to("/dev/zero")


def _socket(path: Path) -> None:
    """A socket that nobody listens to, by a short name, since long ones are refused."""
    in_place_of(path)
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)


def _nothing(path: Path) -> None:
    in_place_of(path)


def _sparse(path: Path) -> None:
    with in_place_of(path).open("wb") as file:
        file.truncate(_SPARSE)


INSTEAD: dict[str, Callable[[Path], None]] = {
    "a link to itself moved out": lambda path: path.symlink_to(_moved(path)),
    "a link to a secret": _link(lambda path: "/etc/hostname"),
    "a link to nothing": _link(lambda path: "nothing"),
    "a link to itself": _link(lambda path: path.name),
    "a link to /dev/zero": _link(lambda path: "/dev/zero"),
    "a link to standard input": _link(lambda path: "/dev/stdin"),
    "a pipe": lambda path: os.mkfifo(in_place_of(path)),
    "a device": _device,
    "a socket": _socket,
    "a folder": lambda path: in_place_of(path).mkdir(),
    "20 GB of nothing": _sparse,
    "nothing": _nothing,
}
# The files of which each kind is spoilt, in the bundle of one model.
_BUNDLE_FILES = {
    "wave": (
        *(MANIFEST, GOLDEN_FILE, WEIGHTS_FILE, TORCHSCRIPT_FILE, CARD_FILE, VALIDATION_FILE),
        *(ONNX_FILE, "onnx/forecast.onnx", "onnx"),
    ),
    "voice": (INITIAL_FILE, GOLDEN_FILE, TORCHSCRIPT_FILE, WEIGHTS_FILE),
}


def _others(originals: Originals) -> dict[tuple[str, str], tuple[Command, ...]]:
    """Other files of a model, with the commands that meet each."""
    embed = ("embed", "wave", "c", "--out=projects/c")
    forecast = ("run", "wave", "--history=history.csv", "--steps=2", "--seed=1")
    wave = {
        "unfinished/wave/training.safetensors": (resume_command("wave"),),
        "weights.pt": (("import", "weights.pt", "--name=other"),),
        "history.csv": (
            forecast,
            ("train", "--cell=rnn", "--series=history.csv", "--name=own", "--epochs=1"),
        ),
        "words.txt": (("train", "--cell=rnn", "--text=words.txt", "--name=own", "--minutes=0.05"),),
        "picture.svg": (("inspect", "--plot=picture.svg"),),
        "junit.xml": (("validate", "--runtime=onnxruntime", "--junit=junit.xml"),),
        "projects/c/SHA256SUMS": (embed,),
        "projects/c/model.c": ((*embed, "--force"),),
        "projects/c": ((*embed, "--force"),),
        "exported/report.html": (("validate", "--runtime=onnxruntime"),),
        "exported/wave": bundle_commands(originals.bundle("wave")),
        "checkpoints/wave": checkpoint_commands("wave"),
    }
    voice = {
        "voice.py": (export_command("voice"),),
        "weights.pt": (export_command("voice", "--weights=weights.pt"),),
        "example.npz": (export_command("voice", "--example=example.npz"),),
        "exported/voice": bundle_commands(originals.bundle("voice"), TRUSTED),
    }
    whose = {"wave": wave, "voice": voice}
    return {(model, file): cs for model, files in whose.items() for file, cs in files.items()}


def instead_of_files(originals: Originals) -> Iterator[Hostile]:
    """Something that is no regular file in place of every kind of file."""
    for what, make in INSTEAD.items():
        for model, names in _BUNDLE_FILES.items():
            for name in names:
                yield Hostile(
                    f"{model}: {name} is {what}",
                    model,
                    partial(_spoil_bundle, name=name, make=make),
                    bundle_commands(originals.bundle(model), TORCHSCRIPT, TRUSTED),
                )
        for name in (CHECKPOINT, "weights"):
            yield Hostile(
                f"{name} of a checkpoint is {what}",
                "wave",
                partial(_spoil_checkpoint, name=name, make=make),
                checkpoint_commands("wave"),
            )
        for (model, name), commands in _others(originals).items():
            if make is not _nothing or (originals.root / model / name).exists():
                yield Hostile(
                    f"{model}: {name} is {what}",
                    model,
                    partial(_spoil_other, name=name, make=make),
                    commands,
                )


def _spoil_bundle(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    make(bundle_of(folder) / name)


def _spoil_checkpoint(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    make(next(checkpoint_of(folder).glob(f"{name}*")))


def _spoil_other(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    path = folder / name
    if not path.exists():
        path.write_bytes(b"old")
    make(path)


NAMES = (
    *("../outside/written", f"../../outside/{SECRET}", "/etc/hostname", "a/../../../x", "onnx/.."),
    *("C:\\x", "a\\b", "x\ny", "\x1b[31mred", "a\0b", "", ".", "..", "./model.pt", "onnx//m.onnx"),
    *("MODEL.PT", "Model.safetensors", "con", "nul.txt", "x" * 300, "é.json", "e\u0301.json"),
    *("manifest.json", "validation.json", "model.pt/x", "~/x", "$HOME/x", "-rf", "\u202ex"),
)


def strange_names(originals: Originals) -> Iterator[Hostile]:
    """A file listed under a name that leads elsewhere, or is another name of the same file."""
    for name in NAMES:
        yield Hostile(
            f"a file is listed as {name[:40]!r}",
            "wave",
            rewriting(partial(_list_the_readme_as, name=name)),
            bundle_commands(originals.bundle("wave")),
        )
        yield Hostile(
            f"weights are said to be in {name[:40]!r}",
            "wave",
            rewriting_checkpoint(partial(_look_for_weights_in, name=name)),
            checkpoint_commands("wave"),
        )
    for name in ("model.pt", "golden.json", "onnx/model.onnx"):
        yield Hostile(
            f"{name} is not listed",
            "wave",
            rewriting(partial(_unlist, name=name)),
            bundle_commands(originals.bundle("wave"), TORCHSCRIPT),
        )
        yield Hostile(
            f"{name} is listed with 20 GB",
            "wave",
            _sparse_listed(name),
            bundle_commands(originals.bundle("wave"), TORCHSCRIPT),
        )


def _list_the_readme_as(manifest: Any, name: str) -> None:
    manifest["files"][name] = dict(manifest["files"]["README.md"])


def _look_for_weights_in(checkpoint: Any, name: str) -> None:
    checkpoint["weights"]["file"] = name


def _unlist(manifest: Any, name: str) -> None:
    del manifest["files"][name]


def _sparse_listed(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        _sparse(bundle_of(folder) / name)
        rewriting(lambda m: m["files"][name].update(bytes=_SPARSE))(folder)

    return spoil


def unlisted(originals: Originals) -> Iterator[Hostile]:
    """More in the folder of a bundle than the manifest knows."""
    for name in ("onnx/model.py", "conftest.py", "sitecustomize.py", "numpy.py", "torch.py"):
        for place in ("exported/wave", ""):

            def spoil(folder: Path, n: str = name, p: str = place) -> None:
                path = folder / p / n
                path.parent.mkdir(exist_ok=True)
                path.write_text("open('canary', 'w').close()\n")
                relist(bundle_of(folder), [n] if p else [])

            where = place or "the folder one is in"
            yield Hostile(
                f"{name} in {where}",
                "wave",
                spoil,
                bundle_commands(originals.bundle("wave"), TORCHSCRIPT),
            )
