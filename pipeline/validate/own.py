"""The mark by which a user's own validations are told from those that came with a bundle.

Whoever sends a bundle can write anything into its ``validation.json``. So a validation carries a
mark: an HMAC (RFC 2104) over the rest of it, with a key that is kept in this user's settings.
"""

import hmac
import secrets
from pathlib import Path

import click

from pipeline.errors import StorageError
from pipeline.storage import canonical_json, write_file
from pipeline.validate.records import Validation

_BYTES = 32  # size of the key, the digest size of SHA-256


def marked(validation: Validation) -> Validation:
    """``validation`` with the mark of this user, or without a mark if no key can be stored."""
    key = _kept_key() or _new_key()
    return validation.model_copy(update={"mark": key and _mark(validation, key)})


def was_found_here(validation: Validation) -> bool:
    """Whether ``validation`` carries the mark of this user."""
    key = _kept_key()
    if key is None or validation.mark is None:
        return False
    return hmac.compare_digest(validation.mark, _mark(validation, key))


def _mark(validation: Validation, key: bytes) -> str:
    content = validation.model_copy(update={"mark": None}).model_dump(mode="json")
    return hmac.new(key, canonical_json(content, None), "sha256").hexdigest()


def _key_file() -> Path:
    return Path(click.get_app_dir("recurrent-pipeline")) / "evidence.key"


def _kept_key() -> bytes | None:
    try:
        key = _key_file().read_bytes()
    except OSError:
        return None
    return key if len(key) == _BYTES else None


def _new_key() -> bytes | None:
    """Make and store a key; None if the settings cannot be written."""
    path, key = _key_file(), secrets.token_bytes(_BYTES)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(path, key)
        path.chmod(0o600)
    except (OSError, StorageError):
        return None
    return key
