"""The content of a weights file of others. Nothing in it is ever run.

What keeps code from running is PyTorch's restricted unpickler (``weights_only=True``), and that
safetensors holds no code; the looks before and after only find what to tell, and keep a small
file from claiming much memory.
"""

import io
import pickle
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline.checkpoint import parse_weights
from pipeline.errors import (
    IntegrityError,
    MalformedError,
    PipelineError,
    UnsafeError,
    one_line,
)
from pipeline.importer.pickles import opcodes, pickled_globals

_ZIP, _PICKLE, _HDF5 = b"PK", b"\x80", b"\x89HDF\r\n"
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # first value of what torch.save wrote before version 1.6
_BEFORE_1_6 = "PyTorch, before 1.6"
_CONTAINERS = {"collections.OrderedDict", "builtins.set", "__builtin__.set"}


def read_weights_file(path: Path, data: bytes) -> tuple[str, Any]:
    """The format of ``data``, the bytes of ``path``, and what is in it.

    Raises:
        UnsafeError: loading it would run code, or unpack far more than it holds.
        IntegrityError: a byte of it is not the one that was saved.
        MalformedError: it is truncated, damaged, or no file of weights.
    """
    if not data:
        raise MalformedError(f"{path} is empty; copy it again")
    if data.startswith(_ZIP):
        _check_archive(path, data)
        return "PyTorch", _unpickle(path, data, _pickle_in_archive(path, data))
    if data.startswith(_PICKLE):
        _check_old_format(path, data)
        return _BEFORE_1_6, _unpickle(path, data, data)
    if path.suffix == ".safetensors" or data[8:9] == b"{":
        return "safetensors", parse_weights(data, path)
    if data.startswith(_HDF5):
        raise MalformedError(f"{path} is HDF5, as Keras writes it; give weights of PyTorch")
    raise MalformedError(
        f"{path} is neither a file of torch.save nor safetensors; give the file that holds the "
        "state_dict of a module"
    )


def _check_archive(path: Path, data: bytes) -> None:
    """Refuse what is no archive of ``torch.save``, and archives that unpack to more than they are.

    ``torch.save`` stores without compressing, no two entries share bytes, and each has a checksum
    (``torch.load`` does not look at it).
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(path, entries, len(data))
            changed = archive.testzip()
    except PipelineError:
        raise
    except Exception as error:  # damaged archives make zipfile raise many kinds
        raise MalformedError(f"{path} is a truncated or damaged archive; copy it again") from error
    if changed is not None:
        raise IntegrityError(
            f"{path}: '{changed}' does not have the checksum that it was saved with; copy the file "
            "again"
        )


def _check_entries(path: Path, entries: Sequence[zipfile.ZipInfo], bytes_in_file: int) -> None:
    names = [entry.filename.partition("/")[2] for entry in entries]
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise MalformedError(
            f"{path} is a TorchScript archive, which holds a program; if you trust it, keep its "
            f'weights: python -c "import torch; '
            f"torch.save(torch.jit.load('{path}').state_dict(), '{path.stem}-weights.pt')\""
        )
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED:
            raise UnsafeError(
                f"{path} is compressed ('{entry.filename}' unpacks to {entry.file_size:,} bytes), "
                "which torch.save never does; do not use this file"
            )
    claimed = sum(entry.file_size for entry in entries)
    if claimed > bytes_in_file:
        raise UnsafeError(
            f"{path} has {bytes_in_file:,} bytes and claims to hold {claimed:,}; do not use this "
            "file"
        )


def _pickle_in_archive(path: Path, data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            if entry.filename.partition("/")[2] == "data.pkl":
                return archive.read(entry)
    raise MalformedError(f"{path} is a zip archive that torch.save did not write; unpack it")


def _check_old_format(path: Path, data: bytes) -> None:
    """A pickle is weights only if it begins with the magic number of ``torch.save``."""
    first = next((value for name, value in opcodes(io.BytesIO(data)) if name == "LONG1"), None)
    if first != _MAGIC_NUMBER:
        _refuse_code(path, pickled_globals(data))
        raise MalformedError(
            f"{path} is a plain or truncated pickle; save weights by "
            "torch.save(module.state_dict(), …)"
        )


def _unpickle(path: Path, data: bytes, pickled: bytes) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old kinds of storage, and of protocols
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        _refuse_code(path, pickled_globals(pickled))
        reason = " ".join(str(error).rpartition("WeightsUnpickler error:")[2].split())[:160]
        raise MalformedError(
            f"{path} is damaged, or holds more than weights ({reason or 'no pickle'}); save its "
            "state_dict anew"
        ) from error
    except Exception as error:  # a damaged file can make PyTorch raise anything
        raise MalformedError(
            f"{path} is truncated or damaged ({one_line(error)[:160]}); copy it again"
        ) from error


def _refuse_code(path: Path, names: set[str]) -> None:
    """Refuse a pickle that would call more than rebuilds tensors."""
    strange = sorted(name for name in names if not _rebuilds_tensors(name))
    if not strange:
        return
    parts = [name for name in strange if name.startswith("torch.nn.modules.")]
    others = [name for name in strange if name not in parts]
    functions = [name for name in others if name.rpartition(".")[2][:1].islower()]
    shown = ", ".join((functions or others or parts)[:5])
    if parts and not functions:
        raise UnsafeError(
            f"{path} is a whole pickled module ({shown}), and loading it runs code; if you wrote "
            'it yourself, keep its weights: python -c "import torch; torch.save(torch.load('
            f"'{path}', weights_only=False).state_dict(), '{path.stem}-weights.pt')\", where its "
            "class can be imported"
        )
    raise UnsafeError(
        f"{path} would call {shown} when it is loaded; save the state_dict of the module alone"
    )


def _rebuilds_tensors(name: str) -> bool:
    return name in _CONTAINERS or name.rpartition(".")[0] in {"torch", "torch._utils"}
