"""Checkpoints from the weights of others: read, understood by their shapes, made a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pipeline.config import ImportedConfig, ImportedSource
from pipeline.errors import unknown
from pipeline.importer.architecture import Architecture, check_ignored, understand
from pipeline.importer.files import read_weights_file
from pipeline.importer.network import ImportSettings, build_network
from pipeline.importer.state_dict import StateDict, find_state_dict
from pipeline.model import Network
from pipeline.reading import read_file
from pipeline.storage import sha256

__all__ = ["ImportSettings", "Imported", "import_weights"]


@dataclass(frozen=True)
class Imported:
    """A network of others, and how it was understood."""

    path: Path
    format: str
    state_dict: StateDict
    architecture: Architecture
    settings: ImportSettings
    ignored: tuple[str, ...]
    network: Network
    sha256: str

    def config(self, name: str) -> ImportedConfig:
        """What its checkpoint says of it."""
        source = ImportedSource(
            file=self.path.name, sha256=self.sha256, non_finite=self.settings.non_finite
        )
        return ImportedConfig(name=name, source=source, model=self.network.config)


def import_weights(
    path: Path,
    settings: ImportSettings,
    *,
    key: str | None = None,
    recurrent: str | None = None,
    embedding: str | None = None,
    ignore: Sequence[str] = (),
) -> Imported:
    """Read the weights in ``path`` and find the network that they belong to.

    ``key`` names the state dict, ``recurrent`` and ``embedding`` the layers that are meant where
    there are several; ``ignore`` names losses, counters or copies of the network to leave out.

    Raises:
        UnsafeError: loading the file would run code, or unpack far more than it holds.
        IntegrityError: a byte of the file is not the one that was saved.
        MalformedError: it is no whole file of weights, or they are not those of one network.
        UsageError: something only the user knows was not said, or means nothing here.
        StorageError: a file cannot be read.
    """
    data = read_file(path, "the weights file")
    kind, content = read_weights_file(path, data)
    found = find_state_dict(path, content, key, len(data))
    groups = [_named(found.tensors, wanted) for wanted in ignore]
    ignored = tuple(dict.fromkeys(name for group in groups for name in group))
    tensors = {name: t for name, t in found.tensors.items() if name not in ignored}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    architecture = understand(path, shapes, recurrent, embedding)
    used = {name: shapes[name] for name in architecture.weights}
    for group in groups:
        check_ignored(path, {name: tuple(found.tensors[name].shape) for name in group}, used)
    network = build_network(path, tensors, architecture, settings)
    return Imported(
        path=path,
        format=kind,
        state_dict=found,
        architecture=architecture,
        settings=settings,
        ignored=ignored,
        network=network,
        sha256=sha256(data),
    )


def _named(tensors: Mapping[str, Tensor], wanted: str) -> tuple[str, ...]:
    """The weights that ``wanted`` names: one, or those of a layer."""
    named = [name for name in tensors if name == wanted or name.startswith(f"{wanted}.")]
    if not named:
        raise unknown("weight or layer", wanted, tensors)
    return tuple(named)
