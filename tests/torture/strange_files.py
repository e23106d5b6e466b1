"""Hostile cases of files: links, pipes, devices, sparse files, names, weights and TorchScript."""

import math
import os
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hostile import HOSTILE, Payload, entry, safetensors_of, saved
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from strangers import hostile_torchscript, of_another_hand

from torture.cases import (
    CHECKPOINT,
    MANIFEST,
    TORCHSCRIPT,
    Command,
    Hostile,
    Spoil,
    bundle_commands,
    bundle_of,
    checkpoint_commands,
    checkpoint_of,
    in_place_of,
    relist,
    replacing,
    reseal_snapshot,
    rewriting,
    rewriting_checkpoint,
)
from torture.originals import Originals, train_command

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
    "nothing": lambda path: in_place_of(path) and None,
}
_BUNDLE_FILES = (MANIFEST, "golden.json", "model.safetensors", "model.pt", "README.md")
_GRAPHS = ("onnx/model.onnx", "onnx/forecast.onnx", "validation.json", "onnx")
_OTHERS: dict[str, tuple[Command, ...]] = {
    "unfinished/wave/training.safetensors": (
        train_command("wave", "--resume", "--checkpoints=unfinished"),
    ),
    "weights.pt": (("import", "weights.pt", "--name=other"),),
    "history.csv": (
        ("run", "wave", "--history=history.csv", "--steps=2", "--seed=1"),
        ("train", "--cell=rnn", "--series=history.csv", "--name=own", "--epochs=1"),
    ),
    "words.txt": (("train", "--cell=rnn", "--text=words.txt", "--name=own", "--minutes=0.05"),),
    "picture.svg": (("inspect", "--plot=picture.svg"),),
    "junit.xml": (("validate", "--runtime=onnxruntime", "--junit=junit.xml"),),
    "projects/c/SHA256SUMS": (("embed", "wave", "c", "--out=projects/c"),),
    "projects/c/model.c": (("embed", "wave", "c", "--out=projects/c", "--force"),),
    "projects/c": (("embed", "wave", "c", "--out=projects/c", "--force"),),
    "exported/report.html": (("validate", "--runtime=onnxruntime"),),
    "exported/wave": bundle_commands("wave"),
    "checkpoints/wave": checkpoint_commands("wave"),
}


def instead_of_files(originals: Originals) -> Iterator[Hostile]:
    """Something that is no regular file in place of every kind of file."""
    for what, make in INSTEAD.items():
        for name in (*_BUNDLE_FILES, *_GRAPHS):
            yield Hostile(
                f"{name} is {what}",
                "wave",
                lambda folder, n=name, m=make: m(bundle_of(folder) / n),
                bundle_commands("wave", TORCHSCRIPT),
            )
        for name in (CHECKPOINT, "weights"):
            yield Hostile(
                f"{name} of a checkpoint is {what}",
                "wave",
                lambda folder, n=name, m=make: m(next(checkpoint_of(folder).glob(f"{n}*"))),
                checkpoint_commands("wave"),
            )
        for name, commands in _OTHERS.items():
            yield Hostile(
                f"{name} is {what}",
                "wave",
                lambda folder, n=name, m=make: _spoil_other(folder / n, m),
                commands,
            )


def _spoil_other(path: Path, make: Callable[[Path], None]) -> None:
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
            rewriting(lambda m, n=name: m["files"].update({n: dict(m["files"]["README.md"])})),
            bundle_commands("wave"),
        )
        yield Hostile(
            f"weights are said to be in {name[:40]!r}",
            "wave",
            rewriting_checkpoint(lambda c, n=name: c["weights"].update(file=n)),
            checkpoint_commands("wave"),
        )
    for name in ("model.pt", "golden.json", "onnx/model.onnx"):
        yield Hostile(
            f"{name} is not listed",
            "wave",
            rewriting(lambda m, n=name: m["files"].pop(n) and None),
            bundle_commands("wave", TORCHSCRIPT),
        )
        yield Hostile(
            f"{name} is listed with 20 GB",
            "wave",
            _sparse_listed(name),
            bundle_commands("wave", TORCHSCRIPT),
        )


def _sparse_listed(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        _sparse(bundle_of(folder) / name)
        rewriting(lambda m: m["files"][name].update(bytes=_SPARSE))(folder)

    return spoil


def _tensors(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def make(data: bytes) -> bytes:
        tensors = load_safetensors(data)
        return save_safetensors(change(tensors) or tensors)

    return make


WEIGHTS: dict[str, Callable[[bytes], bytes]] = {
    "doubled": _tensors(lambda t: {k: v * 2 for k, v in t.items()}),
    "float64": _tensors(lambda t: {k: v.double() for k, v in t.items()}),
    "float16": _tensors(lambda t: {k: v.half() for k, v in t.items()}),
    "int32": _tensors(lambda t: {k: v.int() for k, v in t.items()}),
    "NaN": _tensors(lambda t: {k: v * math.nan for k, v in t.items()}),
    "flat": _tensors(lambda t: {k: v.reshape(-1) for k, v in t.items()}),
    "one short": _tensors(lambda t: dict(list(t.items())[1:])),
    "one more": _tensors(lambda t: {**t, "more": next(iter(t.values())).clone()}),
    "renamed": _tensors(lambda t: {f"x.{k}": v for k, v in t.items()}),
    "none": lambda data: save_safetensors({}),
    "half": lambda data: data[: len(data) // 2],
    "a pickle": lambda data: saved(Payload()),
    "a header of 2^40": lambda data: struct.pack("<Q", 2**40) + data[8:],
    "a header of 2^63": lambda data: struct.pack("<Q", 2**63 + 7) + data[8:],
    "a wide shape": lambda data: safetensors_of({"a": entry(shape=(2**40, 2**20))}),
    "negative": lambda data: safetensors_of({"a": entry(shape=(-4,))}),
    "nested": lambda data: safetensors_of(b'{"a":' * 100_000),
}


def strange_weights(originals: Originals) -> Iterator[Hostile]:
    """Other weights, in a bundle, in a checkpoint, and in an unfinished training."""
    for what, make in WEIGHTS.items():
        yield Hostile(
            f"weights of a bundle are {what}",
            "wave",
            replacing("model.safetensors", make),
            bundle_commands("wave", ("validate", "--runtime=c")),
            never=(("validate", "--runtime=onnxruntime"),),
        )
        yield Hostile(
            f"weights of a checkpoint are {what}",
            "wave",
            lambda folder, m=make: _other_weights(folder, m),
            checkpoint_commands("wave"),
        )
        yield Hostile(
            f"weights of an unfinished training are {what}",
            "wave",
            lambda folder, m=make: _rewritten(folder / "unfinished/wave/training.safetensors", m),
            _OTHERS["unfinished/wave/training.safetensors"],
        )


def _rewritten(path: Path, make: Callable[[bytes], bytes]) -> None:
    path.write_bytes(make(path.read_bytes()))
    reseal_snapshot(path)


def _other_weights(folder: Path, make: Callable[[bytes], bytes]) -> None:
    from pipeline.storage import sha256

    checkpoint = checkpoint_of(folder)
    path = next(checkpoint.glob("weights-*"))
    data = make(path.read_bytes())
    path.unlink()
    name = f"weights-{sha256(data)[:16]}.safetensors"
    (checkpoint / name).write_bytes(data)
    rewriting_checkpoint(lambda c: c["weights"].update(file=name, sha256=sha256(data)))(folder)


def strange_torchscript(originals: Originals) -> Iterator[Hostile]:
    """TorchScript with code of a stranger, in a bundle and named by itself."""
    makes: dict[str, Callable[[bytes], bytes]] = {
        "writes when it is loaded": lambda data: hostile_torchscript(),
        "is of another hand": of_another_hand,
        "is a pickle": lambda data: saved(Payload()),
        "is empty": lambda data: b"",
        "is half": lambda data: data[: len(data) // 2],
        "is the weights of a pickle": lambda data: saved({"a": Payload("eval")}),
    }
    pair = ("validate", "--torchscript=exported/wave/model.pt")
    for what, make in makes.items():
        yield Hostile(
            f"TorchScript {what}",
            "wave",
            replacing("model.pt", make),
            bundle_commands(
                "wave",
                TORCHSCRIPT,
                (*pair, "--onnx=exported/wave/onnx/model.onnx"),
                ("validate", "exported/wave", "--runtime=torchscript", "--force"),
            ),
        )


def imports(originals: Originals) -> Iterator[Hostile]:
    """Files of weights that the tests of import know, through the command."""
    for name, (make, _, _) in HOSTILE.items():

        def spoil(folder: Path, n: str = name, m: Callable[[], bytes] = make) -> None:
            (folder / n).write_bytes(m())

        command = ("import", name, "--name=other")
        yield Hostile(f"import of {name}", "wave", spoil, (command,), never=(command,))


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
            yield Hostile(f"{name} in {where}", "wave", spoil, bundle_commands("wave", TORCHSCRIPT))
