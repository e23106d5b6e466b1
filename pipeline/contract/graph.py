"""Graphs in ONNX hold all of their data: none of a bundle may have the runtime read other files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import MalformedError, UnsafeError

_KEY = b"location"  # which every reference to another file has, in an entry of its tensor


def require_own_data(data: bytes, path: Path) -> None:
    """Refuse a graph or a tensor that names another file as the place of its data.

    ``data`` is that of ``path``, whose ending says what it is; other kinds of files pass. Without
    the word ``location`` there is no such name, so that few files have to be parsed.

    Raises:
        UnsafeError: it names another file.
        MalformedError: it may name one, and cannot be parsed.
    """
    if path.suffix not in (".onnx", ".pb") or _KEY not in data:
        return
    import onnx  # takes long, and is not needed for nearly all files

    kind = onnx.ModelProto if path.suffix == ".onnx" else onnx.TensorProto
    try:
        parsed = kind.FromString(data)
    except Exception as error:  # that of protobuf is not always the same one
        raise MalformedError(f"{path} is not ONNX; export it anew") from error
    for message in _messages(parsed):
        if isinstance(message, onnx.TensorProto) and message.external_data:
            raise UnsafeError(f"{path} reads its data from other files; do not use it")


def _messages(message: Any) -> Iterator[Any]:
    """``message`` and all that lies in it."""
    pending = [message]
    while pending:
        found = pending.pop()
        yield found
        for field, value in found.ListFields():
            if field.type == field.TYPE_MESSAGE:
                pending += [value] if hasattr(value, "ListFields") else [*value]
