"""The weights of a module from a file of others, read as ``pipeline import`` reads it."""

from pathlib import Path

from torch import nn

from pipeline.errors import MalformedError
from pipeline.importer.files import read_weights_file
from pipeline.importer.state_dict import find_state_dict
from pipeline.reading import read_file


def load_weights(module: nn.Module, path: Path) -> None:
    """Put the weights in ``path`` into ``module``; nothing in the file is run.

    Raises:
        UnsafeError: loading the file would run code, or unpack far more than it holds.
        IntegrityError: a byte of the file is not the one that was saved.
        MalformedError: it is no file of weights, or they are not those of ``module``.
        StorageError: the file cannot be read.
    """
    data = read_file(path, "the weights file")
    _, content = read_weights_file(path, data)
    found = find_state_dict(path, content, None, len(data))
    wanted = module.state_dict()
    faults = [f"missing {name}" for name in wanted.keys() - found.tensors.keys()]
    faults += [f"unexpected {name}" for name in found.tensors.keys() - wanted.keys()]
    faults += [
        f"{name} is {list(tensor.shape)}, not {list(wanted[name].shape)}"
        for name, tensor in found.tensors.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    if faults:
        raise MalformedError(
            f"{path} does not fit {type(module).__name__}: {'; '.join(sorted(faults)[:8])}"
        )
    module.load_state_dict(found.tensors)
