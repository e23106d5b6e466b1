"""An open bundle: only files with the digest that the manifest lists are used."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from pydantic import BaseModel

from pipeline.config import Record
from pipeline.contract.files import (
    CARD_FILE,
    GOLDEN_FILE,
    INITIAL_FILE,
    MANIFEST_FILE,
    VALIDATION_FILE,
    WEIGHTS_FILE,
)
from pipeline.contract.format1 import golden_of_format_1, manifest_of_format_1
from pipeline.contract.front_matter import LIMIT as FRONT_MATTER_LIMIT
from pipeline.contract.front_matter import vouched
from pipeline.contract.golden import Golden, StoredTensors, check_golden
from pipeline.contract.graph import require_own_data
from pipeline.contract.held_out import held_out_array
from pipeline.contract.law import Array
from pipeline.contract.manifest import FileEntry, Manifest
from pipeline.contract.stored import unstored
from pipeline.contract.tensors import Tensors, TensorSpec
from pipeline.contract.weights import largest_file
from pipeline.errors import IntegrityError, MalformedError
from pipeline.lookup import find_models
from pipeline.reading import open_inside, parse_json, read_inside, safe_path, size_of
from pipeline.seal import parse_record, sealed, unsealed
from pipeline.storage import canonical_json, sha256, write_file

_TODO = "export it anew"
_BLOCK = 2**20  # bytes


class InitialStates(Record):
    """The content of ``initial.json``: one row of each state, by the name of its input."""

    format: Literal[2]
    states: StoredTensors


@dataclass(frozen=True)
class Bundle:
    """An open bundle; :meth:`read` returns a file only if its digest is the one in the manifest.

    ``content`` are the bytes of ``manifest.json``, which may be of format 1.
    """

    folder: Path
    manifest: Manifest
    content: bytes = field(repr=False)

    def read(self, name: str) -> bytes:
        """The bytes of one file of the bundle; of the card, those after the Hub's front matter.

        Raises:
            MalformedError: the manifest does not list the file, or it is missing or not regular.
            IntegrityError: the file was changed after the export.
            UnsafeError: its name leaves the folder, it is a link, or it is a graph that reads other
                files.
        """
        entry = self._entry(name)
        path = self.folder / name
        if name == WEIGHTS_FILE and entry.bytes > largest_file(self.manifest.parameters):
            raise MalformedError(f"{path} is larger than the weights of its model; {_TODO}")
        with open_inside(self.folder, name, "a file of the bundle") as file:
            if name == CARD_FILE:
                data = vouched(name, file.read(entry.bytes + FRONT_MATTER_LIMIT))
            else:
                self._require_size(file, name, entry)
                data = file.read(entry.bytes)
        if sha256(data) != entry.sha256:
            raise self._changed(name)
        require_own_data(data, path)
        return data

    def verify(self) -> None:
        """Compare every file with its digest, block by block; raises as :meth:`read` does."""
        for name, entry in self.manifest.files.items():
            if name == CARD_FILE:
                self.read(name)
                continue
            digest = hashlib.sha256()
            with open_inside(self.folder, name, "a file of the bundle") as file:
                self._require_size(file, name, entry)
                while block := file.read(_BLOCK):
                    digest.update(block)
            if digest.hexdigest() != entry.sha256:
                raise self._changed(name)

    def _entry(self, name: str) -> FileEntry:
        entry = self.manifest.files.get(name)
        if entry is None:
            raise MalformedError(f"{self.folder / MANIFEST_FILE} lists no {name}; {_TODO}")
        return entry

    def _require_size(self, file: BinaryIO, name: str, entry: FileEntry) -> None:
        if size_of(file) != entry.bytes:
            raise self._changed(name)

    def _changed(self, name: str) -> IntegrityError:
        return IntegrityError(f"{self.folder / name} was changed after its export; {_TODO}")

    @property
    def format(self) -> int:
        """The format that the bundle was written in; the manifest is in the present one."""
        found: int = parse_json(self.content, self.folder / MANIFEST_FILE)["format"]
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, which is also its seal."""
        path = self.folder / MANIFEST_FILE
        plain = unsealed(self.content, path, _TODO)
        if plain == self.content:  # of an earlier version, without a seal
            content = parse_json(plain, path)
            content["files"].pop(VALIDATION_FILE, None)
            plain = canonical_json(content)
        return sha256(plain)

    def golden(self) -> Golden:
        """The golden trajectories, and inputs that training never saw.

        Raises:
            MalformedError: ``golden.json`` is no golden data, or not of this model.
            IntegrityError: ``golden.json`` was changed.
        """
        path = self.folder / GOLDEN_FILE
        golden = parse_record(
            self.read(GOLDEN_FILE), path, "golden data", Golden, _TODO, golden_of_format_1
        )
        try:
            check_golden(golden, self.manifest)
        except ValueError as error:
            raise MalformedError(f"{path} is not golden data: {error}; {_TODO}") from error
        return golden

    def held_out(self) -> Tensors:
        """Held-out data ``[time, …]`` of each input that has some; raises as :meth:`golden`."""
        data = self.golden().held_out
        specs = {spec.name: spec for spec in self.manifest.inputs}
        return {name: held_out_array(specs[name], held) for name, held in data.items()}

    def task_data(self) -> Array:
        """The held-out data of a model with a task, which has one such input."""
        (data,) = self.held_out().values()
        return data

    def initial_states(self, batch: int = 1) -> Tensors:
        """The states that a stream of ``batch`` rows starts from, by the names of their inputs.

        Raises:
            MalformedError: ``initial.json`` is missing, or does not fit the states.
            IntegrityError: ``initial.json`` was changed.
        """
        manifest, path = self.manifest, self.folder / INITIAL_FILE
        specs = {spec.name: spec for spec in manifest.inputs}
        axis = manifest.contract.batch
        stored: StoredTensors = {}
        if any(isinstance(pair.initial, str) for pair in manifest.states):
            content = self.read(INITIAL_FILE)
            stored = parse_record(content, path, "initial states", InitialStates, _TODO).states
        found: Tensors = {}
        for pair in manifest.states:
            spec = specs[pair.input]
            if isinstance(pair.initial, str):
                found[spec.name] = self._stored_state(spec, stored, batch)
            else:
                pairs = zip(spec.shape, spec.smallest_shape, strict=True)
                shape = [batch if size == axis else least for size, least in pairs]
                found[spec.name] = np.full(shape, pair.initial, spec.type)
        return found

    def _stored_state(self, spec: TensorSpec, stored: StoredTensors, batch: int) -> Array:
        axis = self.manifest.contract.batch
        try:
            row = unstored(stored[spec.name], spec, {axis: 1} if axis else {})
        except (KeyError, ValueError) as error:
            path = self.folder / INITIAL_FILE
            raise MalformedError(f"{path} does not fit {spec.name}: {error}; {_TODO}") from error
        place = spec.shape.index(axis) if axis in spec.shape else None
        return row if place is None else np.repeat(row, batch, place)

    def add_validation(self, validation: BaseModel) -> None:
        """Write ``validation.json`` atomically: a reader finds the old file or the new one.

        Raises:
            StorageError: the file system refused; the old file is still there.
        """
        write_file(self.folder / VALIDATION_FILE, sealed(validation))


def find_bundles(exported: Path, names: tuple[str, ...], *, variants: bool = False) -> list[Path]:
    """The folders of bundles, by their names in ``exported`` or their paths; all without names.

    Variants are among all if ``variants`` is set.

    Raises:
        UsageError: as :func:`~pipeline.lookup.find_models`.
    """
    return find_models(exported, MANIFEST_FILE, names, made_by="export", variants=variants)


def open_bundle(folder: Path) -> Bundle:
    """Open the bundle in ``folder``; each file is verified when it is read.

    Raises:
        MalformedError: ``manifest.json`` is missing, not JSON, or does not fit its schema.
        IntegrityError: ``manifest.json`` was changed.
        UnsafeError: ``manifest.json`` lists a file outside the folder, or is a link.
        StorageError: ``manifest.json`` cannot be read.
    """
    content = read_inside(folder, MANIFEST_FILE, "the manifest")
    return Bundle(folder, parse_manifest(content, folder / MANIFEST_FILE), content)


def parse_manifest(content: bytes, path: Path) -> Manifest:
    """The manifest in the bytes of ``manifest.json``; messages name ``path``.

    Raises:
        MalformedError: it is not JSON, or does not fit its schema.
        IntegrityError: it was changed.
        UnsafeError: it lists a file outside the folder.
    """
    plain = unsealed(content, path, _TODO)
    return parse_record(plain, path, "the manifest", Manifest, _TODO, _older)


def _older(content: dict[str, Any]) -> None:
    """Check the names of files, before anything is done with them, and convert format 1."""
    files = content.get("files")
    if isinstance(files, dict):
        for name in files:
            safe_path(name)
    manifest_of_format_1(content)
