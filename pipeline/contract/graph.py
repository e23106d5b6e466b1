"""ONNX files as data: the nodes of a graph, and the check that a file holds all of its data."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import MalformedError, UnsafeError

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

_KEY = b"location"  # a tensor that refers to another file has an entry with this key


def nodes_in(graph: "GraphProto") -> "Iterator[NodeProto]":
    """All nodes of a graph, each followed by those of the graphs inside it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from nodes_in(inner)


def require_own_data(data: bytes, path: Path) -> None:
    """Refuse an ONNX graph or tensor whose data lie in another file.

    ``data`` are the bytes of ``path``; files that do not end in .onnx or .pb pass. Only files that
    contain the word ``location`` are parsed, since every reference to another file has it.

    Raises:
        UnsafeError: the file refers to another file.
        MalformedError: the file contains the word ``location`` and cannot be parsed.
    """
    if path.suffix not in (".onnx", ".pb") or _KEY not in data:
        return
    import onnx  # slow to import, and rarely needed

    kind = onnx.ModelProto if path.suffix == ".onnx" else onnx.TensorProto
    try:
        parsed = kind.FromString(data)
    except Exception as error:  # the error's type depends on the version of protobuf
        raise MalformedError(f"{path} is not ONNX; export it anew") from error
    for message in _messages(parsed):
        if isinstance(message, onnx.TensorProto) and message.external_data:
            raise UnsafeError(f"{path} reads its data from other files; do not use it")


def _messages(message: Any) -> Iterator[Any]:
    """``message`` and all messages inside it."""
    pending = [message]
    while pending:
        found = pending.pop()
        yield found
        for field, value in found.ListFields():
            if field.type == field.TYPE_MESSAGE:
                pending += [value] if hasattr(value, "ListFields") else [*value]
