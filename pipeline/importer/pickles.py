"""Look into pickles without loading them: which functions, classes and strings they hold."""

import io
import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator
from typing import IO, Any, NamedTuple


class Look(NamedTuple):
    """What a pickle was seen to hold.

    A pickle can hide names from such a look. It serves to word a refusal and to know which names
    need a placeholder; it never allows anything.
    """

    names: frozenset[str]  # dotted, as in Python 3, of what it would import
    strings: frozenset[str]
    holds_dict: bool  # rather than an object


def opcodes(stream: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """Names and arguments of the operations of every pickle in ``stream``, while it is whole."""
    try:
        while True:
            for operation, argument, _ in pickletools.genops(stream):
                yield operation.name, argument
    except Exception:  # the end, truncation, or no pickle: pickletools raises many kinds
        return


def look_into(data: bytes) -> Look:
    """What the pickles in ``data`` hold."""
    found: set[str] = set()
    strings: list[str] = []  # as they are pushed, also from the memo
    memo: dict[int, str] = {}
    memoized = 0
    before, begin = "", []
    for name, argument in opcodes(io.BytesIO(data)):
        if before == "PROTO":
            begin.append(name)
        before = name
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
    # Before version 1.6, torch.save wrote three pickles in front of the content.
    content = begin[3:4] if begin[:1] == ["LONG1"] else begin[:1]
    return Look(frozenset(map(_in_python_3, found)), frozenset(strings), content == ["EMPTY_DICT"])


def _in_python_3(name: str) -> str:
    """The name that a pickle means; protocol 2, of ``torch.save``, has the names of Python 2."""
    module, _, last = name.rpartition(".")
    if (module, last) in NAME_MAPPING:
        return ".".join(NAME_MAPPING[module, last])
    return f"{IMPORT_MAPPING.get(module, module)}.{last}"
