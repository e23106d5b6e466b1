"""Front matter of a model card: the YAML between two lines of hyphens that the Hub reads.

A bundle's card is written without it. The Hub, and those who edit the page there, put it in front,
so the digest in the manifest is of the card that follows it. Nothing here reads the YAML.
"""

import re

from pipeline.contract.files import CARD_FILE

LIMIT = 2**16  # bytes of front matter

_FRONT_MATTER = re.compile(rb"---\r?\n.*?\n---\r?\n[\r\n]*", re.DOTALL)


def vouched(name: str, data: bytes) -> bytes:
    """What the digest of a file covers: all of it, and of the card what follows front matter."""
    front = _FRONT_MATTER.match(data, 0, LIMIT) if name == CARD_FILE else None
    return data[front.end() :] if front else data


def with_front_matter(yaml: str, card: bytes) -> bytes:
    """The ``card`` of a bundle behind its metadata."""
    return f"---\n{yaml.strip()}\n---\n\n".encode() + card
