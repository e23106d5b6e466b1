"""Seals: JSON files that contain their own digest, so that any change to them is detected.

The first key of a sealed file is ``sha256``, alone on the second line. Its value is the SHA-256 of
the file without that line, which is the same JSON without that key: a reader in any language drops
the line and hashes the rest. Files of earlier versions have no seal; they are read unchecked.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from pipeline.errors import IntegrityError, MalformedError
from pipeline.reading import JSON_LIMIT, parse_json, read_inside
from pipeline.storage import canonical_json, sha256

_KEY = "sha256"
_SEAL = re.compile(rb'\{\n  "sha256": "([0-9a-f]{64})",\n')

R = TypeVar("R", bound=BaseModel)


def sealed(record: BaseModel) -> bytes:
    """``record`` as JSON with its seal.

    Raises:
        MalformedError: the JSON is larger than readers accept.
    """
    data = seal(canonical_json(record.model_dump(mode="json")))
    require_readable(data, type(record).__name__)
    return data


def seal(plain: bytes) -> bytes:
    """Insert the seal into the JSON of an object, which :func:`canonical_json` wrote."""
    brace, rest = plain[:2], plain[2:]
    return brace + f'  "{_KEY}": "{sha256(plain)}",\n'.encode() + rest


def require_readable(data: bytes, what: str) -> None:
    """Raises MalformedError for JSON that is larger than readers accept."""
    if len(data) > JSON_LIMIT:
        raise MalformedError(
            f"{what} would have {len(data):,} bytes of JSON, more than the {JSON_LIMIT:,} that are "
            "read; make a smaller model"
        )


def schema_of(kind: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a sealed file of ``kind``."""
    digest = {
        "description": "of the file without this line; absent in files of earlier versions",
        "pattern": "^[0-9a-f]{64}$",
        "type": "string",
    }
    schema = kind.model_json_schema()
    schema["properties"] = {_KEY: digest, **schema["properties"]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def unsealed(data: bytes, path: Path, todo: str) -> bytes:
    """The JSON of a file without its seal, after checking it; files without a seal pass.

    Raises:
        IntegrityError: the seal does not match, or is not on the second line.
        MalformedError: a file without a seal is not JSON.
    """
    found = _SEAL.match(data)
    if found is None:
        content = parse_json(data, path)
        if not (isinstance(content, dict) and _KEY in content):
            return data
    else:
        plain = data[:2] + data[found.end() :]
        if sha256(plain) == found[1].decode():
            return plain
    raise IntegrityError(f"{path} was changed after it was written; {todo}")


def read_record(
    folder: Path,
    name: str,
    what: str,
    kind: type[R],
    todo: str,
    older: Callable[[dict[str, Any]], object] = lambda content: None,
) -> R:
    """Read and check a file that :func:`sealed` wrote; arguments are as in :func:`parse_record`.

    Raises:
        IntegrityError: its seal does not match.
        UnsafeError: it is a link.
        StorageError: it cannot be read.
        MalformedError: it is missing, not JSON, of a newer format, or does not fit its schema.
    """
    path = folder / name
    plain = unsealed(read_inside(folder, name, what), path, todo)
    return parse_record(plain, path, what, kind, todo, older)


def parse_record(
    data: bytes,
    path: Path,
    what: str,
    kind: type[R],
    todo: str,
    older: Callable[[dict[str, Any]], object] = lambda content: None,
) -> R:
    """Parse JSON as a record of ``kind``; messages name it ``what`` and end in ``todo``.

    ``older`` converts, in place, content that earlier versions wrote in another form, and raises
    ValueError if it cannot.

    Raises:
        MalformedError: it is not JSON, of a newer format, or does not fit its schema.
    """
    content = parse_json(data, path)
    _check_format(content, kind, path)
    try:
        if isinstance(content, dict):
            older(content)
        return kind.model_validate_json(canonical_json(content, None), strict=True)
    except ValidationError as error:  # a ValueError, too
        first = error.errors(include_url=False)[0]
        where = ".".join(_place(content, first["loc"]))
        why = first["msg"].removeprefix("Value error, ")
        fault = f"{why} at {where or 'the top'}" if first["type"] != "value_error" else why
    except ValueError as error:
        fault = str(error)
    except RecursionError:
        fault = "it is nested too deeply"
    raise MalformedError(f"{path} is not {what}: {_shown(fault)}; {todo}")


def _check_format(content: Any, kind: type[BaseModel], path: Path) -> None:
    """Refuse JSON of a higher format than ``kind`` has; raises MalformedError."""
    known = max(get_args(kind.model_fields["format"].annotation), default=1)
    found = isinstance(content, dict) and content.get("format")
    if isinstance(found, int) and found > known:
        raise MalformedError(f"{path} has format {found}; this pipeline reads {known}, update it")


def _place(content: Any, place: tuple[int | str, ...]) -> Iterator[str]:
    """The keys of ``place`` that exist in ``content``, without the tags of unions in the schema."""
    for key in place:
        try:
            content = content[key]
        except (LookupError, TypeError):
            if key != place[-1]:
                continue
        yield str(key)


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:300]
