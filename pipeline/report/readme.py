"""Tables of README files, made from the code: ``python -m pipeline.report.readme FILE…``.

A table is the text between ``<!-- table: NAME -->`` and a comment that begins with ``end``.
"""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pipeline.embed.targets import TARGETS
from pipeline.runtimes.catalog import RUNTIMES
from pipeline.storage import update_file

_PLACE = re.compile(r"(<!-- table: ([a-z]+) -->\n).*?(<!-- end\b[^\n]*-->)", re.DOTALL)


def runtimes_table() -> str:
    """The runtimes of ``validate`` as a Markdown table."""
    rows = [
        (f"`{kind.name}`", kind.help, _coming(kind.extras), kind.limits)
        for kind in RUNTIMES.values()
    ]
    return _table(("`--runtime`", "what runs", "comes with", "limits"), rows)


def targets_table() -> str:
    """The targets of ``embed`` as a Markdown table."""
    rows = [
        (f"`{target.name}`", target.help, _code(target.debian, ", "), target.limits)
        for target in TARGETS.values()
    ]
    return _table(("target", "what runs the model", "Debian packages", "limits"), rows)


TABLES: dict[str, Callable[[], str]] = {"runtimes": runtimes_table, "targets": targets_table}


def with_tables(text: str) -> str:
    """The ``text`` of a README with every table made anew.

    Raises:
        KeyError: a table that ``text`` names does not exist.
    """
    return _PLACE.sub(lambda place: f"{place[1]}{TABLES[place[2]]()}{place[3]}", text)


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head, *lines = (f"| {' | '.join(cells)} |\n" for cells in (titles, *rows))
    return "".join((head, f"|{'---|' * len(titles)}\n", *lines)).replace("|  |", "| |")


def _coming(extras: Sequence[str]) -> str:
    return f"extra {_code(extras, ' or ')}" if extras else "always"


def _code(names: Iterable[str], between: str) -> str:
    return between.join(f"`{name}`" for name in names)


if __name__ == "__main__":
    for readme in map(Path, sys.argv[1:]):
        update_file(readme, with_tables(readme.read_text(encoding="utf-8")).encode())
