"""The files in C beside this one and among the cells, as templates that are filled."""

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files

# MODEL_H guards the header.
PUBLIC = ("H", "FEATURES", "OUTPUTS", "ROWS", "HIDDEN", "STATE", "BLOCK", "SCRATCH")


def fill(
    file: str,
    parts: dict[str, str],
    kinds: dict[str, bool],
    prefix: str,
    package: str = "pipeline.embed.c",
    public: Sequence[str] = PUBLIC,
) -> bytes:
    """A template of ``package`` with its parts put in; ``public`` are sizes that callers see."""
    text = template(package, file, kinds)
    text = re.sub(r"\bmodel_(?=[a-z])", f"{prefix}_", text)
    text = re.sub(rf"\bMODEL_(?={'|'.join(public)})", f"{prefix.upper()}_", text)
    places = "|".join(parts)
    return re.sub(rf"/\* ({places}) \*/", lambda place: parts[place[1]], text).encode("ascii")


def template(package: str, file: str, kinds: dict[str, bool]) -> str:
    """A file of ``package``, without what is for networks of another kind."""
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    return "\n".join(_of_kind(text.split("\n"), kinds))


def _of_kind(lines: Iterable[str], kinds: dict[str, bool]) -> Iterator[str]:
    """The lines whose conditions on the kind of the network hold, without these conditions."""
    open_conditions: list[bool | None] = []  # None is for conditions that the compiler looks at
    for line in lines:
        word, _, rest = line.partition(" ")
        condition = rest.split(" || ")
        if word in ("#if", "#ifdef", "#ifndef"):
            ours = word == "#if" and set(condition) <= set(kinds)
            open_conditions.append(any(kinds[kind] for kind in condition) if ours else None)
            is_kept = not ours
        elif word in ("#else", "#elif") and open_conditions[-1] is not None:
            open_conditions[-1] = not open_conditions[-1]
            is_kept = False
        elif word == "#endif":
            is_kept = open_conditions.pop() is None
        else:
            is_kept = True
        if is_kept and all(held is not False for held in open_conditions):
            yield line
