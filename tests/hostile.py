"""Files that are no weights, or weights of no network: each what a person or an attacker makes."""

import functools
import io
import json
import os
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn
from tutorials import Forecaster

CANARY = "canary"  # what a payload would write into the working folder


class Payload:
    """Writes the canary when it is unpickled."""

    def __init__(self, how: str = "system") -> None:
        self.how = how

    def __reduce__(self) -> tuple[Any, ...]:
        if self.how == "system":
            return os.system, (f"touch {CANARY}",)
        if self.how == "eval":
            return eval, (f"open('{CANARY}', 'w').close()",)
        if self.how == "partial":
            return functools.partial, (Path.touch, Path(CANARY))
        return getattr, (Path(CANARY), "touch")


def saved(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def weights(**changes: Any) -> dict[str, Any]:
    """The weights of a small forecaster; a change to None takes one away."""
    torch.manual_seed(0)
    own = dict(Forecaster("lstm", 1, 4, 2, 1).state_dict())
    own |= {name.replace("__", "."): value for name, value in changes.items()}
    return {name: value for name, value in own.items() if value is not None}


def archive(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as target:
        for name, data in entries.items():
            target.writestr(zipfile.ZipInfo(name), data, compression)
    return buffer.getvalue()


def flipped_bit() -> bytes:
    """A file of ``torch.save`` with one bit of one weight changed."""
    data = bytearray(saved(weights()))
    data[data.index(weights()["fc.weight"].numpy().tobytes())] ^= 1
    return bytes(data)


def entries_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        return {entry.filename: source.read(entry) for entry in source.infolist()}


def changed(data: bytes, name: str, content: bytes) -> bytes:
    """An archive of ``torch.save`` with another content of one entry."""
    entries = entries_of(data)
    place = next(key for key in entries if key.endswith(name))
    return archive({**entries, place: content})


def overlapping_entries() -> bytes:
    """An archive whose directory names the bytes of one large entry a thousand times."""
    data = archive({"archive/data.pkl": b"\0" * 10_000})
    start = struct.unpack("<I", data[-6:-2])[0]
    entry, end = data[start:-22], bytearray(data[-22:])
    struct.pack_into("<HHI", end, 8, 1000, 1000, len(entry) * 1000)
    return data[:start] + entry * 1000 + bytes(end)


def torchscript() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), buffer)
    return buffer.getvalue()


def safetensors_of(header: Any, data: bytes = b"\0" * 64) -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def entry(dtype: str = "F32", shape: Any = (4,), offsets: Any = (0, 16)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def old(content: Any) -> bytes:
    return saved(content, _use_new_zipfile_serialization=False)


def nested_tuples(depth: int) -> bytes:
    """A pickle of tuples in tuples, too deep for what looks into it by recursion."""
    return b"\x80\x02" + b"(" * depth + b"t" * depth + b"."


def aliased_dicts() -> Any:
    """Dictionaries that all hold the same ones: few bytes, and endless to walk through."""
    level: dict[str, Any] = {"weight_ih_l0": torch.zeros(4, 1)}
    for _ in range(30):
        level = {f"key{number}": level for number in range(30)}
    return level


def without_storages() -> bytes:
    """A file of ``torch.save`` with the names of all weights and none of their numbers."""
    entries = entries_of(saved(weights()))
    return archive({name: data for name, data in entries.items() if "/data/" not in name})


def nan(name: str) -> dict[str, Tensor]:
    changes = weights()
    changes[name] = torch.full_like(changes[name], torch.nan)
    return changes


LSTM_OF_OTHERS = {f"other.{k}": v for k, v in nn.LSTM(2, 3).state_dict().items()}
ONES = functools.partial(torch.ones)

# Name of the file: what makes it, the exit code, and a part of what is said.
HOSTILE: dict[str, tuple[Callable[[], bytes], int, str]] = {
    # code
    "payload-system.pt": (lambda: saved(weights(x=Payload())), 4, "would call posix.system"),
    "payload-eval.pt": (lambda: saved(weights(x=Payload("eval"))), 4, "builtins.eval"),
    "payload-getattr.pt": (lambda: saved(weights(x=Payload("getattr"))), 4, "builtins.getattr"),
    "payload-partial.pt": (lambda: saved(weights(x=Payload("partial"))), 4, "functools.partial"),
    "payload-protocol-4.pt": (
        lambda: saved(weights(x=Payload()), pickle_protocol=4),
        4,
        "posix.system",
    ),
    "payload-old.pth": (lambda: old(weights(x=Payload())), 4, "posix.system"),
    "payload-plain.bin": (lambda: pickle.dumps(Payload()), 4, "posix.system"),
    "payload-named-safetensors.safetensors": (lambda: pickle.dumps(Payload()), 4, "posix.system"),
    "payload-in-a-module.pt": (
        lambda: saved([Forecaster("lstm", 1, 4, 1, 1), Payload()]),
        4,
        "would call posix.system",
    ),
    "module.pt": (lambda: saved(Forecaster("lstm", 1, 4, 1, 1)), 4, "weights_only=False).state"),
    "module-old.pt": (lambda: old(Forecaster("lstm", 1, 4, 1, 1)), 4, "whole pickled module"),
    "module-of-torch.pt": (lambda: saved(nn.LSTM(1, 4)), 4, "torch.nn.modules.rnn.LSTM"),
    "plain-pickle-of-weights.pkl": (lambda: pickle.dumps(weights()), 4, "_load_from_bytes"),
    "torchscript.pt": (torchscript, 3, "torch.jit.load"),
    # archives
    "bomb.pt": (
        lambda: archive({"archive/data.pkl": b"\0" * 10_000_000}, zipfile.ZIP_DEFLATED),
        4,
        "unpacks to 10,000,000 bytes",
    ),
    "overlap.pt": (overlapping_entries, 4, "claims to hold 10,000,000"),
    "no-pickle.pt": (lambda: archive({"hello.txt": b"hello"}), 3, "torch.save did not write"),
    "bad-pickle.pt": (lambda: changed(saved(weights()), "data.pkl", b"\xff" * 9), 3, "operand 255"),
    "flipped-bit.pt": (flipped_bit, 5, "does not have the checksum"),
    "no-storage.pt": (without_storages, 3, "damaged"),
    "short-storage.pt": (lambda: changed(saved(weights()), "data/0", b"\0"), 3, "damaged"),
    "deep.pth": (lambda: nested_tuples(200_000), 3, "plain or truncated pickle"),
    # contents
    "list.pt": (lambda: saved([1, 2]), 3, "holds a list"),
    "tensor.pt": (lambda: saved(torch.ones(3)), 3, "holds a Tensor"),
    "nothing.pt": (lambda: saved({}), 3, "holds nothing"),
    "numbers.pt": (lambda: saved({"epoch": 3, 4: "x"}), 3, "it holds epoch, 4"),
    "aliases.pt": (lambda: saved(aliased_dicts()), 3, "it holds key0"),
    "no-recurrent.pt": (lambda: saved(nn.Linear(2, 2).state_dict()), 3, "it holds weight, bias"),
    "meta.pt": (lambda: saved(weights(fc__bias=ONES(1, device="meta"))), 3, "and no numbers"),
    "expanded.pt": (
        lambda: saved(weights(fc__weight=torch.zeros(1).expand(10**6, 10**6))),
        3,
        "4,000,000,001,092 bytes of weights in a file of",
    ),
    "sparse.pt": (lambda: saved(weights(fc__weight=torch.eye(4).to_sparse())), 3, "sparse_coo"),
    "integers.pt": (
        lambda: saved(weights(fc__bias=torch.ones(1, dtype=torch.int8))),
        3,
        "fc.bias is int8",
    ),
    "complex.pt": (
        lambda: saved(weights(fc__bias=torch.ones(1, dtype=torch.complex64))),
        3,
        "fc.bias is complex64",
    ),
    "nan.pt": (lambda: saved(nan("lstm.bias_hh_l1")), 3, "infinity in lstm.bias_hh_l1"),
    "infinite.safetensors": (
        lambda: save_safetensors(weights(fc__weight=torch.full((1, 4), torch.inf))),
        3,
        "infinity in fc.weight",
    ),
    # names and shapes
    "missing.pt": (
        lambda: saved(weights(lstm__weight_hh_l1=None, lstm__bias_ih_l0=None)),
        3,
        "missing lstm.bias_ih_l0 [16]; missing lstm.weight_hh_l1 [16, 4]",
    ),
    "no-first.pt": (
        lambda: saved(weights(lstm__weight_ih_l0=None)),
        3,
        "missing lstm.weight_ih_l0",
    ),
    "gap.pt": (
        lambda: saved({k.replace("_l1", "_l7"): v for k, v in weights().items()}),
        3,
        "unexpected lstm.weight_ih_l7",
    ),
    "extra.pt": (
        lambda: saved(weights(conv__weight=ONES(2, 1, 3), norm__weight=ONES(4))),
        3,
        "unexpected conv.weight [2, 1, 3]; unexpected norm.weight [4]",
    ),
    "no-head.pt": (
        lambda: saved(weights(fc__weight=None, fc__bias=None)),
        3,
        "missing a linear head, a weight with 4 columns",
    ),
    "head-bias.pt": (lambda: saved(weights(fc__bias=ONES(3))), 3, "fc.bias is [3], not [1]"),
    "rows.pt": (lambda: saved(weights(lstm__weight_ih_l0=ONES(15, 1))), 3, "not 1, 3 or 4 times"),
    "shapes.pt": (
        lambda: saved(weights(lstm__weight_hh_l1=ONES(16, 5), lstm__bias_ih_l1=ONES(4))),
        3,
        "lstm.weight_hh_l1 is [16, 5], not [16, 4]; lstm.bias_ih_l1 is [4], not [16]",
    ),
    "one-axis.pt": (lambda: saved(weights(lstm__weight_ih_l0=ONES(16))), 3, "need two axes"),
    "no-columns.pt": (
        lambda: saved(weights(lstm__weight_ih_l0=ONES(0, 0), lstm__weight_hh_l0=ONES(0, 0))),
        3,
        "has 0 rows",
    ),
    "too-deep.pt": (lambda: saved(Forecaster("rnn", 1, 1, 65, 1).state_dict()), 3, "num_layers 65"),
    "two-stacks.pt": (lambda: saved(weights() | LSTM_OF_OTHERS), 2, "choose one by --recurrent"),
    "two-dicts.pt": (lambda: saved({"a": weights(), "b": weights()}), 2, "choose by --key"),
    # safetensors
    "cap.safetensors": (
        lambda: struct.pack("<Q", 2**40) + b"{" + b" " * 64,
        3,
        "header too large",
    ),
    "header.safetensors": (
        lambda: struct.pack("<Q", 1000) + b"{}",
        3,
        "invalid header length",
    ),
    "json.safetensors": (lambda: safetensors_of(b"{'a': 1}"), 3, "invalid JSON in header"),
    "utf8.safetensors": (lambda: safetensors_of(b'{"\xff": 1}'), 3, "invalid UTF-8"),
    "overlap.safetensors": (
        lambda: safetensors_of({"a": entry(), "b": entry(offsets=(8, 24))}, b"\0" * 24),
        3,
        "offset",
    ),
    "range.safetensors": (
        lambda: safetensors_of({"a": entry(offsets=(0, 2**40), shape=(2**38,))}),
        3,
        "incomplete metadata",
    ),
    "hole.safetensors": (
        lambda: safetensors_of({"a": entry(), "b": entry(offsets=(32, 48))}, b"\0" * 48),
        3,
        "`b`",
    ),
    "mismatch.safetensors": (
        lambda: safetensors_of({"a": entry(shape=(5,))}, b"\0" * 16),
        3,
        "shape",
    ),
    "dtype.safetensors": (lambda: safetensors_of({"a": entry("F31")}), 3, "F31"),
    "negative.safetensors": (lambda: safetensors_of({"a": entry(shape=(-4,))}), 3, "-4"),
    "overflow.safetensors": (
        lambda: safetensors_of({"a": entry(shape=(2**63, 2**63))}, b"\0" * 16),
        3,
        "overflow",
    ),
    # no weights at all
    "empty.pt": (lambda: b"", 3, "is empty"),
    "text.pt": (lambda: b"just a text, quite long", 3, "neither a file of torch.save nor"),
    "keras.h5": (lambda: b"\x89HDF\r\n\x1a\n" + b"\0" * 64, 3, "Keras"),
    "compressed.pt": (lambda: zlib.compress(saved(weights())), 3, "neither a file of torch.save"),
}
