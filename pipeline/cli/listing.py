"""Help texts that end with lists of what can be chosen, made of what there is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

Lists = Mapping[str, Sequence[tuple[str, str]]]


class ListingCommand(click.Command):
    """A command whose help ends with the ``lists``: by title, names and what is said of each.

    They are made when the help is shown: what they are made of takes longer to import than a
    command takes to start.
    """

    def __init__(self, *arguments: Any, lists: Callable[[], Lists], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lists = lists

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the lists behind the options."""
        super().format_epilog(ctx, formatter)
        for title, rows in self.lists().items():
            with formatter.section(title):
                formatter.write_dl(rows)


def listed(entries: Iterable[Any]) -> Sequence[tuple[str, str]]:
    """The rows of a list of runtimes or targets: the name, the line of help, and the limits."""
    return [
        (entry.name, " ".join(f"{part}." for part in (entry.help, entry.limits) if part))
        for entry in entries
    ]


def runtimes_and_targets() -> Lists:
    """Whatever ``validate`` can run a bundle in."""
    from pipeline.runtimes.catalog import RUNTIMES

    return {"Runtimes": listed(RUNTIMES.values())} | dict(targets())


def targets() -> Lists:
    """Whatever a bundle can be embedded in."""
    from pipeline.embed.targets import TARGETS

    return {"Targets": listed(TARGETS.values())}
