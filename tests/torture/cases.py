"""A hostile case: what a stranger did to a copy of the originals, and the commands that meet it."""

import json
import re
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.contract import Bundle
from pipeline.seal import seal
from pipeline.storage import sha256
from torture.commands import (
    BENCHMARK,
    EXPORT,
    READS_BUNDLES,
    VALIDATE,
    Asked,
    Command,
    commands_for,
)
from torture.leaves import text_of
from torture.originals import Originals, export_command, train_command

MANIFEST, CHECKPOINT = "manifest.json", "checkpoint.json"
_SMALL = 2**24  # bytes; no file of the originals is larger
Spoil = Callable[[Path], None]  # given the folder of a copy


@dataclass(frozen=True)
class Hostile:
    """One hostile case; ``spoil`` changes the copy of ``model`` that ``commands`` then meet.

    ``never`` are commands that must not end in 0: what they would say is wrong.
    """

    name: str
    model: str
    spoil: Spoil
    commands: tuple[Command, ...]
    never: tuple[Command, ...] = ()

    def __str__(self) -> str:
        return self.name

    def spoilt(self, originals: Originals, folder: Path) -> Path:
        """A copy of the originals, spoilt.

        Raises:
            RuntimeError: it is as it was, so that the case would say nothing.
        """
        originals.copy(self.model, folder)
        self.spoil(folder)
        if _contents(folder) == _contents(originals.root / self.model):
            raise RuntimeError("nothing was spoilt")
        return folder


def _contents(folder: Path) -> dict[str, object]:
    """What is at every path below ``folder``: the bytes of small files, and of others the size."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        facts = path.lstat()
        if stat.S_ISLNK(facts.st_mode):
            what: object = path.readlink()
        elif stat.S_ISREG(facts.st_mode) and facts.st_size <= _SMALL:
            what = path.read_bytes()
        else:
            what = facts.st_size
        found[path.relative_to(folder).as_posix()] = (stat.S_IFMT(facts.st_mode), what)
    return found


def bundle_commands(bundle: Bundle, *more: Asked) -> tuple[Command, ...]:
    """Every command that reads a bundle, and at the end the one that replaces it."""
    return commands_for(bundle, *READS_BUNDLES, *more, BENCHMARK, EXPORT)


def checkpoint_commands(model: str) -> tuple[Command, ...]:
    """Every command that reads a checkpoint, and what then reads what it wrote."""
    export = export_command(model, "--exported=made", "--force")
    made = (("inspect", "--exported=made"), ("embed", f"made/{model}", "c", "--out=new/c"))
    return (export, *made, (*VALIDATE, "--exported=made"), train_command(model))


def bundle_of(folder: Path) -> Path:
    """The only bundle in a copy of the originals."""
    return next((folder / "exported").glob(f"*/{MANIFEST}")).parent


def checkpoint_of(folder: Path) -> Path:
    """The only checkpoint in a copy of the originals."""
    return next((folder / "checkpoints").glob(f"*/{CHECKPOINT}")).parent


def unsealed_json(path: Path) -> Any:
    """The content of a file, without its seal."""
    content = json.loads(path.read_bytes())
    content.pop("sha256", None)
    return content


def write_sealed(path: Path, document: Any) -> None:
    """Write JSON with a seal that is right, whatever it says."""
    path.write_bytes(seal(text_of(document)))


def relist(bundle: Path, names: Sequence[str] = ()) -> None:
    """Make the digests in the manifest right again, as whoever made the files would."""
    manifest = unsealed_json(bundle / MANIFEST)
    for name in (*manifest["files"], *names):
        path = bundle / name
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            manifest["files"][name] = {"sha256": sha256(data), "bytes": len(data)}
    write_sealed(bundle / MANIFEST, manifest)


def replacing(name: str, make: Callable[[bytes], bytes]) -> Spoil:
    """Another content of one file of the bundle, with every digest right."""

    def spoil(folder: Path) -> None:
        bundle = bundle_of(folder)
        (bundle / name).write_bytes(make((bundle / name).read_bytes()))
        relist(bundle)

    return spoil


def _rewriting(place: Callable[[Path], Path]) -> Callable[[Callable[[Any], Any]], Spoil]:
    """Another document at ``place`` with its seal right."""

    def rewriting(change: Callable[[Any], Any]) -> Spoil:
        def spoil(folder: Path) -> None:
            document = unsealed_json(place(folder))
            write_sealed(place(folder), change(document) or document)

        return spoil

    return rewriting


rewriting = _rewriting(lambda folder: bundle_of(folder) / MANIFEST)
rewriting_checkpoint = _rewriting(lambda folder: checkpoint_of(folder) / CHECKPOINT)


def in_place_of(path: Path) -> Path:
    """``path`` with nothing there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return path


def reseal_snapshot(path: Path) -> None:
    """Make the digest of an unfinished training right again, where there is one still."""
    data = path.read_bytes()
    header = slice(8, 8 + int.from_bytes(data[:8], "little"))
    if found := re.search(rb'"sha256":"([0-9a-f]{64})"', data[header]):
        start, end = (8 + place for place in found.span(1))
        digest = sha256(data[:start] + b"0" * 64 + data[end:]).encode()
        path.write_bytes(data[:start] + digest + data[end:])
