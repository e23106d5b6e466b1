"""Hostile cases of JSON: a strange value in every place of what a bundle and a checkpoint say."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.contract.files import GOLDEN_FILE, INITIAL_FILE
from pipeline.seal import seal
from pipeline.storage import canonical_json
from torture.cases import (
    CHECKPOINT,
    MANIFEST,
    Hostile,
    Spoil,
    bundle_commands,
    checkpoint_commands,
    replacing,
    rewriting,
    rewriting_checkpoint,
    unsealed_json,
)
from torture.commands import COMPILED, TRUSTED, VALIDATE
from torture.leaves import MISSING, Place, changed, places_of, shown, strange_values, text_of
from torture.originals import MODELS, TRAINED, Originals


def _everywhere(document: Any) -> Iterator[tuple[Place, Any, str, Any]]:
    """Every place of ``document`` with its value, a strange one, and what that is called.

    A strange value that is there already is left out.
    """
    for place, value in places_of(document):
        there = text_of(value)
        for what, strange in strange_values(value).items():
            if strange is MISSING or text_of(strange) != there:
                yield place, value, what, strange


def strange_manifests(originals: Originals) -> Iterator[Hostile]:
    """Every place of a manifest with every strange value of its kind."""
    for model in MODELS:
        bundle = originals.bundle(model)
        document = unsealed_json(bundle.folder / MANIFEST)
        for place, value, what, strange in _everywhere(document):
            is_text = isinstance(value, str) and place[0] != "files"
            yield Hostile(
                f"{model}: manifest {shown(place)} = {what}",
                model,
                rewriting(partial(changed, place=place, value=strange)),
                bundle_commands(bundle, TRUSTED, *((COMPILED,) if is_text else ())),
            )


def _changed_text(data: bytes, place: Place, value: Any) -> bytes:
    return text_of(changed(json.loads(data), place, value))


def strange_data(originals: Originals) -> Iterator[Hostile]:
    """Every place of the golden data and initial states with every strange value of its kind."""
    for model in MODELS:
        bundle = originals.bundle(model)
        for file in (GOLDEN_FILE, INITIAL_FILE):
            if file not in bundle.manifest.files:
                continue
            document = json.loads((bundle.folder / file).read_bytes())
            for place, _, what, strange in _everywhere(document):
                yield Hostile(
                    f"{model}: {file} {shown(place)} = {what}",
                    model,
                    replacing(file, partial(_changed_text, place=place, value=strange)),
                    bundle_commands(bundle, TRUSTED),
                )


def strange_checkpoints(originals: Originals) -> Iterator[Hostile]:
    """Every place of a checkpoint with every strange value of its kind."""
    for model in TRAINED:
        folder = originals.root / model
        document = unsealed_json(next(folder.glob(f"checkpoints/*/{CHECKPOINT}")))
        for place, _, what, strange in _everywhere(document):
            yield Hostile(
                f"{model}: checkpoint {shown(place)} = {what}",
                model,
                rewriting_checkpoint(partial(changed, place=place, value=strange)),
                checkpoint_commands(model),
            )


def _added(content: Any, place: Place, more: float) -> None:
    """Add ``more`` to the number at ``place`` of ``content``."""
    for key in place[:-1]:
        content = content[key]
    content[place[-1]] += more


def _lying(data: bytes, place: Place) -> bytes:
    content = json.loads(data)
    _added(content, place, 0.5)
    return canonical_json(content, indent=None)


def lies(originals: Originals) -> Iterator[Hostile]:
    """What is well formed and not true: no command may vouch for it."""
    never = {"never": (VALIDATE,)}
    for field in ("input_mean", "input_std", "output_mean", "output_std"):
        spoil = rewriting(partial(_added, place=("scaler", field, 0), more=0.25))
        commands = bundle_commands(originals.bundle("wave"))
        yield Hostile(f"wave: lying {field}", "wave", spoil, commands, **never)
    yield Hostile(
        "words: lying vocabulary",
        "words",
        rewriting(lambda m: m.update(vocabulary=m["vocabulary"][::-1])),
        bundle_commands(originals.bundle("words")),
        **never,
    )
    for model in MODELS:
        bundle = originals.bundle(model)
        commands = bundle_commands(bundle, TRUSTED)
        for name in (spec.name for spec in bundle.manifest.outputs):
            place = ("trajectories", 0, "calls", 0, name, "data", 0)
            yield Hostile(
                f"{model}: golden {name} is off",
                model,
                replacing(GOLDEN_FILE, partial(_lying, place=place)),
                commands,
                **never,
            )
        yield Hostile(
            f"{model}: a wide tolerance",
            model,
            rewriting(lambda m: m.update(tolerance={"rtol": 1e9, "atol": 1e9})),
            commands,
            **never,
        )
        yield Hostile(
            f"{model}: more parameters",
            model,
            rewriting(lambda m: m.update(parameters=m["parameters"] + 1)),
            commands,
            **never,
        )
        if bundle.manifest.model is not None:
            yield Hostile(
                f"{model}: a larger hidden size",
                model,
                rewriting(lambda m: m["model"].update(hidden_size=65536)),
                commands,
                **never,
            )


def bytes_of(make: Callable[[bytes], bytes], file: str) -> Spoil:
    """Other bytes for a file of the bundle, or of the checkpoint."""

    def spoil(folder: Path) -> None:
        found = next(folder.glob(f"exported/*/{file}" if file == MANIFEST else f"*/*/{file}"))
        found.write_bytes(make(found.read_bytes()))

    return spoil


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "NUL": lambda data: b"\0" * len(data),
    "half": lambda data: data[: len(data) // 2],
    "a key twice": lambda data: seal(_plain(data).replace(b"{\n", b"{\n" + _format_of(data), 1)),
    "nested lists": lambda data: b"[" * 200_000,
    "nested objects": lambda data: b'{"a":' * 200_000,
    "a list": lambda data: b"[]\n",
    "a number": lambda data: b"1e999\n",
    "a huge number": lambda data: b"9" * 1_000_000,
    "not UTF-8": lambda data: seal(_plain(data).replace(b'": "', b'": "\xff', 1)),
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "a mark of order": lambda data: b"\xef\xbb\xbf" + data,
    "a format of the future": lambda data: seal(
        _plain(data).replace(_format_of(data), b'  "format": 99,\n', 1)
    ),
    "a seal of another": lambda data: data.replace(b'"sha256": "', b'"sha256": "0', 1),
    "an endless string": lambda data: data[:-3] + b'"' + b"x" * 70_000_000,
}


def _plain(data: bytes) -> bytes:
    """A sealed file without its seal."""
    lines = data.split(b"\n")
    return b"\n".join((lines[0], *lines[2:])) if b'"sha256"' in lines[1] else data


def _format_of(data: bytes) -> bytes:
    """The line of a file with its format."""
    return f'  "format": {json.loads(data)["format"]},\n'.encode()


def strange_bytes(originals: Originals) -> Iterator[Hostile]:
    """What is no JSON, or no JSON of ours, in place of a manifest or a checkpoint."""
    for what, make in BYTES.items():
        for model in MODELS:
            yield Hostile(
                f"{model}: manifest is {what}",
                model,
                bytes_of(make, MANIFEST),
                bundle_commands(originals.bundle(model)),
            )
        for model in TRAINED:
            yield Hostile(
                f"{model}: checkpoint is {what}",
                model,
                bytes_of(make, CHECKPOINT),
                checkpoint_commands(model),
            )
