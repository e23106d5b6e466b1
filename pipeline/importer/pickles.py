"""Look into pickles without loading them: which functions and classes they name."""

import io
import pickletools
from collections.abc import Iterator
from typing import IO, Any


def opcodes(stream: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """Names and arguments of the operations of every pickle in ``stream``, while it is whole."""
    try:
        while True:
            for operation, argument, _ in pickletools.genops(stream):
                yield operation.name, argument
    except Exception:  # the end, truncation, or no pickle: pickletools raises many kinds
        return


def pickled_globals(data: bytes) -> set[str]:
    """The dotted names of what ``data`` would import.

    A pickle can hide them from such a look; it serves to word a refusal, never to allow anything.
    """
    found: set[str] = set()
    strings: list[str] = []  # as they are pushed, also from the memo
    memo: dict[int, str] = {}
    memoized = 0
    for name, argument in opcodes(io.BytesIO(data)):
        if name in ("GLOBAL", "INST"):
            found.add(str(argument).replace(" ", "."))
        elif name == "STACK_GLOBAL" and len(strings) > 1:
            found.add(".".join(strings[-2:]))
        elif isinstance(argument, str):
            strings.append(argument)
        elif name == "MEMOIZE" and strings:
            memo[memoized], memoized = strings[-1], memoized + 1
        elif name in ("BINPUT", "LONG_BINPUT") and strings:
            memo[argument] = strings[-1]
        elif name in ("BINGET", "LONG_BINGET") and argument in memo:
            strings.append(memo[argument])
    return found
