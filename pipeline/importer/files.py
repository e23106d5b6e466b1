"""The content of a weights file of others. Nothing in it is ever run.

What keeps code from running is PyTorch's restricted unpickler (``weights_only=True``), and that
safetensors holds no code; the looks before and after only find what to tell, and keep a small
file from claiming much memory. Settings beside the weights become placeholders.
"""

import io
import pickle
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.serialization import safe_globals

from pipeline.checkpoint import parse_weights
from pipeline.errors import IntegrityError, MalformedError, PipelineError, UnsafeError, one_line
from pipeline.importer.advice import keep_weights, keep_weights_of_program, pick_weights
from pipeline.importer.pickles import Look, look_into, opcodes
from pipeline.importer.placeholders import is_inert, placeholders

_ZIP, _PICKLE, _HDF5 = b"PK", b"\x80", b"\x89HDF\r\n"
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # first value of what torch.save wrote before version 1.6
_BEFORE_1_6 = "PyTorch, before 1.6"
_CONTAINERS = {
    *(f"collections.{kind}" for kind in ("OrderedDict", "Counter")),
    *(f"builtins.{kind}" for kind in ("set", "bytearray", "complex")),
    "_codecs.encode",
    "torch.nn.parameter.Parameter",
}
# What no checkpoint has a use for; nobody is told how to load a file with such a name.
_ATTACKS = {"nt", "os", "posix", "pty", "runpy", "shutil", "socket", "subprocess", "sys"}
_ATTACKS |= {f"builtins.{name}" for name in ("eval", "exec", "compile", "open", "__import__")}


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
            f"{path} is a TorchScript archive, which holds a program; "
            f"{keep_weights_of_program(path)}"
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
        _refuse_code(path, look_into(data))
        raise MalformedError(
            f"{path} is a plain or truncated pickle; save weights by "
            "torch.save(module.state_dict(), …)"
        )


def _unpickle(path: Path, data: bytes, pickled: bytes) -> Any:
    look = look_into(pickled)
    try:
        with warnings.catch_warnings(), safe_globals([*placeholders(look.names)]):
            warnings.simplefilter("ignore")  # of old kinds of storage, and of protocols
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        _refuse_code(path, look)
        reason = " ".join(str(error).rpartition("WeightsUnpickler error:")[2].split())[:160]
        beside = [name for name in sorted(look.names) if is_inert(name) and not _rebuilds(name)]
        if beside:
            what = "holds more than weights and plain settings"
            if not look.holds_dict and "_parameters" in look.strings:
                what = "is a whole pickled module"
            raise UnsafeError(
                f"{path} {what} ({', '.join(beside[:5])}); {keep_weights(path, pick_weights(look))}"
            ) from error
        raise MalformedError(
            f"{path} is damaged, or holds more than weights ({reason or 'no pickle'}); save its "
            "state_dict anew"
        ) from error
    except Exception as error:  # a damaged file can make PyTorch raise anything
        raise MalformedError(
            f"{path} is truncated or damaged ({one_line(error)[:160]}); copy it again"
        ) from error


def _refuse_code(path: Path, look: Look) -> None:
    """Refuse a pickle that would call more than rebuilds tensors and settings."""
    strange = sorted(name for name in look.names if not _rebuilds(name) and not is_inert(name))
    if not strange:
        return
    attack = any({name, name.partition(".")[0]} & _ATTACKS for name in strange)
    raise UnsafeError(
        f"{path} would call {', '.join(strange[:5])} when it is loaded; "
        + ("do not use this file" if attack else keep_weights(path, pick_weights(look)))
    )


def _rebuilds(name: str) -> bool:
    return name in _CONTAINERS or name.rpartition(".")[0] in {"torch", "torch._utils"}
