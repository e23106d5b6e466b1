"""An open bundle: only files with the digest that the manifest lists are used."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel

from pipeline.contract.golden import Golden, check_golden
from pipeline.contract.graph import require_own_data
from pipeline.contract.held_out import Array, held_out_input
from pipeline.contract.manifest import GOLDEN_FILE, WEIGHTS_FILE, FileEntry, Manifest
from pipeline.contract.weights import largest_file
from pipeline.errors import IntegrityError, MalformedError
from pipeline.reading import open_inside, safe_path, size_of
from pipeline.seal import parse_record, read_record, sealed
from pipeline.signature import MANIFEST_FILE
from pipeline.storage import canonical_json, sha256, write_file

VALIDATION_FILE = "validation.json"

_TODO = "export it anew"
_BLOCK = 2**20  # bytes


@dataclass(frozen=True)
class Bundle:
    """An open bundle; :meth:`read` returns a file only if its digest is the one in the manifest."""

    folder: Path
    manifest: Manifest

    def read(self, name: str) -> bytes:
        """The bytes of one file of the bundle.

        Raises:
            MalformedError: the manifest does not list the file, or it is missing or not regular.
            IntegrityError: the file was changed after the export.
            UnsafeError: its name leaves the folder, it is a link, or it is a graph that reads other
                files.
        """
        entry = self._entry(name)
        path = self.folder / name
        if name == WEIGHTS_FILE and entry.bytes > largest_file(self.manifest.weight_shapes):
            raise MalformedError(f"{path} is larger than the weights of its model; {_TODO}")
        with open_inside(self.folder, name, "a file of the bundle") as file:
            self._require_size(file, name, entry)
            data = file.read(entry.bytes)
        if sha256(data) != entry.sha256:
            raise self._changed(name)
        require_own_data(data, path)
        return data

    def verify(self) -> None:
        """Compare every file with its digest, block by block; raises as :meth:`read` does."""
        for name, entry in self.manifest.files.items():
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
    def digest(self) -> str:
        """SHA-256 of the manifest, which is also its seal."""
        return sha256(canonical_json(self.manifest.model_dump(mode="json")))

    def golden(self) -> Golden:
        """The golden trajectories, and inputs that training never saw.

        Raises:
            MalformedError: ``golden.json`` is no golden data, or not of this model.
            IntegrityError: ``golden.json`` was changed.
        """
        path = self.folder / GOLDEN_FILE
        golden = parse_record(self.read(GOLDEN_FILE), path, "golden data", Golden, _TODO)
        try:
            check_golden(golden, self.manifest)
        except ValueError as error:
            raise MalformedError(f"{path} is not golden data: {error}; {_TODO}") from error
        return golden

    def held_out(self) -> Array:
        """Inputs ``[time, …]`` of the task that training never saw; raises as :meth:`golden`."""
        return held_out_input(self.golden().held_out)

    def add_validation(self, validation: BaseModel) -> None:
        """Write ``validation.json`` atomically: a reader finds the old file or the new one.

        Raises:
            StorageError: the file system refused; the old file is still there.
        """
        write_file(self.folder / VALIDATION_FILE, sealed(validation))


def open_bundle(folder: Path) -> Bundle:
    """Open the bundle in ``folder``; each file is verified when it is read.

    Raises:
        MalformedError: ``manifest.json`` is missing, not JSON, or does not fit its schema.
        IntegrityError: ``manifest.json`` was changed.
        UnsafeError: ``manifest.json`` lists a file outside the folder, or is a link.
        StorageError: ``manifest.json`` cannot be read.
    """
    manifest = read_record(folder, MANIFEST_FILE, "the manifest", Manifest, _TODO, _of_this_version)
    return Bundle(folder, manifest)


def _of_this_version(content: dict[str, Any]) -> None:
    """Drop ``validation.json``, which earlier versions listed, and check the names of files."""
    files = content.get("files")
    if isinstance(files, dict):
        files.pop(VALIDATION_FILE, None)
        for name in files:
            safe_path(name)
