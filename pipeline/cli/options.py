"""Options and phrases that several commands share."""

import math
import secrets
import shlex
import sys
from collections.abc import Callable, Collection, Container, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipeline.errors import UnavailableError, UnsafeError, UsageError

if TYPE_CHECKING:
    from pipeline.validate import Row

Command = TypeVar("Command", bound=Callable[..., Any])


class SectionOption(click.Option):
    """An option that the help shows under the title of its ``section``."""

    def __init__(self, *arguments: Any, section: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.section = section


def section(title: str) -> Callable[..., Callable[[Command], Command]]:
    """``click.option`` for the options of the section ``title``."""
    return partial(click.option, cls=SectionOption, section=title)


class SectionedCommand(click.Command):
    """A command whose help groups options by section; options without one come last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of each section, in the order in which they were declared."""
        sections: dict[str, list[tuple[str, str]]] = {}
        rest: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None or not isinstance(parameter, click.Option):
                continue
            if isinstance(parameter, SectionOption):
                sections.setdefault(parameter.section, []).append(record)
            else:
                rest.append(record)
        for title, rows in (sections | {"Options": rest}).items():
            with formatter.section(title):
                formatter.write_dl(rows)


def _folder(flag: str, default: str, purpose: str) -> Callable[[Command], Command]:
    return click.option(
        flag, type=click.Path(path_type=Path), default=default, show_default=True, help=purpose
    )


checkpoints_option = _folder("--checkpoints", "checkpoints", "Folder of the checkpoints.")
exported_option = _folder("--exported", "exported", "Folder of the bundles.")
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON on standard output."
)
force_option = click.option(
    "--force", is_flag=True, help="Do the work again even if nothing has changed."
)


def must_have_run(
    rows: Sequence["Row"], providers: Container[str], runtimes: Collection[str] = ()
) -> None:
    """Make sure that every runtime of ``rows``, or those of ``runtimes``, ran on ``providers``.

    A runtime with several rows, one for each precision, has run if one of the rows did.

    Raises:
        UnsafeError: the first runtime that did not run would have run code that is not trusted.
        UnavailableError: the first runtime that did not run is not installed here.
    """
    ran = [(row.model, row.runtime, row.provider) for row in rows if row.status != "not run"]
    for row in rows:
        if row.graph != "model" or row.provider not in providers or row.status != "not run":
            continue
        if runtimes and row.runtime not in runtimes:
            continue
        if row.unsafe:
            raise UnsafeError(f"{row.runtime} did not run: {row.reason}")
        if not any(
            (model, provider) == (row.model, row.provider) and runtime.startswith(row.runtime)
            for model, runtime, provider in ran
        ):
            raise UnavailableError(f"{row.runtime} did not run on '{row.provider}': {row.reason}")


def several(
    flag: str, kind: type[int] | type[str], purpose: str, title: str
) -> Callable[[Command], Command]:
    """An option of the section ``title`` that takes values with commas between them.

    Its value is a tuple without repetitions.
    """

    def split(
        context: click.Context, option: click.Parameter, value: str | None
    ) -> tuple[Any, ...]:
        parts = [part.strip() for part in value.split(",")] if value is not None else []
        convert = click.types.convert_type(kind)
        return tuple(dict.fromkeys(convert(part, option, context) for part in parts))

    metavar = "N,…" if kind is int else "NAME,…"
    return section(title)(flag, callback=split, metavar=metavar, help=purpose)


def next_command(command: str, names: tuple[str, ...]) -> str:
    """The command to type next, for the same models."""
    return " ".join((command, *map(shlex.quote, names)))


def finite(context: click.Context, option: click.Parameter, value: float) -> float:
    """Refuse NaN, which passes every range check of click, and infinity."""
    if not math.isfinite(value):
        raise UsageError(f"{option.opts[0]} {value}: give a number")
    return value


def chosen_seed(seed: int | None, is_drawn: bool) -> int:
    """``seed``, or a new random one, which is printed if anything is drawn with it."""
    if seed is not None:
        return seed
    from pipeline.report.output import say

    seed = secrets.randbelow(2**31)
    if is_drawn:
        say(f"--seed {seed} draws the same again")
    return seed


def standard_input(even_typed: bool = False) -> bytes:
    """The bytes of standard input; none if it is a terminal, unless ``even_typed`` is set."""
    if sys.stdin is None or (sys.stdin.isatty() and not even_typed):
        return b""
    data: bytes = sys.stdin.buffer.read()
    return data
