"""Help texts that end with lists of the runtimes and targets there are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click
import cloup

Lists = Mapping[str, Sequence[tuple[str, str]]]


class ListingCommand(cloup.Command):
    """A command whose help ends with ``lists``: under each title, names and their descriptions.

    The lists are made when the help is shown, because their modules take longer to import than a
    command takes to start.
    """

    def __init__(self, *arguments: Any, lists: Callable[[], Lists], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lists = lists

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the lists after the options."""
        super().format_epilog(ctx, formatter)
        for title, rows in self.lists().items():
            with formatter.section(title):
                formatter.write_dl(rows)


def listed(entries: Iterable[Any]) -> Sequence[tuple[str, str]]:
    """Rows of a list of runtimes or targets: the name, then the help line and the limits."""
    return [
        (entry.name, " ".join(f"{part}." for part in (entry.help, entry.limits) if part))
        for entry in entries
    ]


def runtimes_and_targets() -> Lists:
    """The runtimes and targets that ``validate`` can run a bundle in."""
    from pipeline.embed.targets import RUN_HERE
    from pipeline.runtimes.catalog import RUNTIMES

    return {"Runtimes": listed(RUNTIMES.values()), "Targets": listed(RUN_HERE.values())}


def targets() -> Lists:
    """The targets that a bundle can be embedded in."""
    from pipeline.embed.targets import TARGETS

    return {"Targets": listed(TARGETS.values())}


def formats() -> Lists:
    """The formats that a bundle can be converted to, which are called as their runtimes."""
    from pipeline.runtimes.catalog import RUNTIMES

    kinds = [kind for kind in RUNTIMES.values() if kind.converter is not None]
    return {"Formats": [(kind.name, f"{kind.file}, for {kind.format}.") for kind in kinds]}
