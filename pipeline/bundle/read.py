"""Open a bundle, trusting no file whose digest does not match."""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pipeline.bundle.golden import Array, held_out_input
from pipeline.bundle.manifest import FileEntry, Manifest, check_manifest
from pipeline.bundle.write import GOLDEN_FILE, WEIGHTS_FILE, file_entry, manifest_bytes
from pipeline.checkpoint import allow_non_finite, parse_weights, put_weights, versions
from pipeline.errors import IntegrityError, MalformedError, UnsafeError
from pipeline.model import Network
from pipeline.signature import MANIFEST_FILE
from pipeline.storage import (
    canonical_json,
    read_file,
    read_json,
    safe_path,
    sha256,
    write_file,
)

VALIDATION_FILE = "validation.json"


@dataclass(frozen=True)
class Bundle:
    """An open bundle; :meth:`read` gives only bytes that the manifest vouches for."""

    folder: Path
    manifest: Manifest

    def read(self, name: str) -> bytes:
        """The bytes of one file of the bundle.

        Raises:
            MalformedError: the manifest does not list it, or it is missing.
            IntegrityError: it is not the file that was exported.
            UnsafeError: its name leaves the folder.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise MalformedError(f"{self.folder / MANIFEST_FILE} lists no {name}; export it anew")
        path = self.folder / safe_path(name)
        data = read_file(path, "a file of the bundle")
        if file_entry(data) != entry:
            raise IntegrityError(f"{path} was changed after its export; export it anew")
        return data

    def verify(self) -> None:
        """Read every file; raises as :meth:`read` does."""
        for name in self.manifest.files:
            self.read(name)

    @property
    def digest(self) -> str:
        """SHA-256 over the manifest of what was exported; a validation does not change it."""
        content = self.manifest.model_dump(mode="json")
        content["files"].pop(VALIDATION_FILE, None)
        return sha256(canonical_json(content))

    def network(self) -> Network:
        """The PyTorch network with the weights of the bundle, on the CPU, ready to use.

        Raises:
            MalformedError: the weights are not those of the model in the manifest.
            IntegrityError: the weights file was changed.
        """
        network = Network(
            self.manifest.model, scaler=self.manifest.scaler, vocabulary=self.manifest.vocabulary
        )
        path = self.folder / WEIGHTS_FILE
        tensors = parse_weights(self.read(WEIGHTS_FILE), path)
        return put_weights(network, tensors, path, allow_non_finite(self.manifest.source))

    def held_out(self) -> Array:
        """Inputs ``[time, …]`` of the task that training never saw.

        Raises:
            MalformedError: ``golden.json`` has none.
            IntegrityError: it was changed.
        """
        try:
            return held_out_input(json.loads(self.read(GOLDEN_FILE))["held_out"])
        except (ValueError, KeyError, TypeError) as error:
            place = self.folder / GOLDEN_FILE
            raise MalformedError(f"{place} holds no inputs; export it anew") from error

    def add_validation(self, data: bytes) -> "Bundle":
        """Write ``validation.json`` and list it in the manifest.

        Raises:
            StorageError: the file system refused; the bundle is still whole.
        """
        files = dict(self.manifest.files)
        # Not listed while it is replaced: a file that is not listed is not looked at.
        if files.pop(VALIDATION_FILE, None):
            self._write_manifest(files)
        write_file(self.folder / VALIDATION_FILE, data)
        return self._write_manifest({**files, VALIDATION_FILE: file_entry(data)})

    def _write_manifest(self, files: dict[str, FileEntry]) -> "Bundle":
        manifest = self.manifest.model_copy(update={"files": files})
        write_file(self.folder / MANIFEST_FILE, manifest_bytes(manifest))
        return Bundle(self.folder, manifest)


def current_bundle(folder: Path, checkpoint_sha256: str, opset: int) -> Bundle | None:
    """The bundle in ``folder`` if it is whole and what exporting now would give again."""
    try:
        bundle = open_bundle(folder)
        bundle.verify()
    except (MalformedError, IntegrityError, UnsafeError):
        return None
    manifest = bundle.manifest
    made_from = (manifest.checkpoint_sha256, manifest.opset, manifest.versions)
    return bundle if made_from == (checkpoint_sha256, opset, versions()) else None


def open_bundle(folder: Path) -> Bundle:
    """Open the bundle in ``folder``; files are verified as they are read.

    Raises:
        MalformedError: ``manifest.json`` is missing, not JSON, or does not fit its schema.
        UnsafeError: it lists a file outside the folder.
    """
    path = folder / MANIFEST_FILE
    content = read_json(path, "the manifest")
    check_manifest(content, str(path))
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise MalformedError(f"{path}: {error.errors()[0]['msg']}; export it anew") from error
    for name in manifest.files:
        safe_path(name)
    return Bundle(folder, manifest)
