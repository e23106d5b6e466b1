"""Options and phrases that several commands share."""

import math
import secrets
import shlex
import sys
from collections.abc import Callable, Collection, Container, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import cloup
from click.shell_completion import CompletionItem

from pipeline.errors import UnavailableError, UnsafeError, UsageError, unknown

if TYPE_CHECKING:
    from pipeline.validate import Row

Command = TypeVar("Command", bound=Callable[..., Any])


class Integer(click.IntRange):
    """A whole number within bounds, which help and errors call a plain integer."""

    name = "integer"


class Number(click.FloatRange):
    """A number within bounds, which help and errors call a plain number."""

    name = "number"


COUNT = Integer(min=0)
PATH = click.Path(path_type=Path)
CHECKPOINTS = "checkpoints"  # the folder of the checkpoints, if none is named
_STYLE = cloup.HelpTheme(
    invoked_command=cloup.Style(bold=True),
    heading=cloup.Style(bold=True),
    col1=cloup.Style(bold=True),
)
HELP = cloup.Context.settings(
    help_option_names=["-h", "--help"],
    show_default=True,
    formatter_settings=cloup.HelpFormatter.settings(theme=_STYLE),
)


@cache
def group(title: str) -> cloup.OptionGroup:
    """The options that the help shows under ``title``."""
    return cloup.OptionGroup(title)


def section(title: str) -> Callable[..., Callable[[Command], Command]]:
    """``click.option`` for the options of the section ``title``."""
    return partial(click.option, cls=cloup.Option, group=group(title))


class Commands(cloup.Group):
    """A group that prints its help if no command is named, and suggests the nearest one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, invoke_without_command=True, **options)

    def add_command(self, cmd: click.Command, *arguments: Any, **options: Any) -> None:
        """Add a command, which the help describes by its whole first sentence."""
        if not cmd.short_help:
            cmd.short_help = " ".join((cmd.help or "").split("\n\n")[0].split())
        super().add_command(cmd, *arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        if not ctx._protected_args and not ctx.args:
            click.echo(ctx.get_help())
            return None
        return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first of ``args`` names."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            raise unknown("command", args[0], self.commands)
        return super().resolve_command(ctx, args)


def _folder(flag: str, default: str, purpose: str) -> Callable[[Command], Command]:
    return click.option(flag, type=PATH, default=default, help=purpose)


checkpoints_option = _folder("--checkpoints", CHECKPOINTS, "Folder of the checkpoints.")
exported_option = _folder("--exported", "exported", "Folder of the bundles.")
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON on standard output."
)
force_option = click.option(
    "--force", is_flag=True, help="Do the work again even if nothing has changed."
)


def names_in(folder: str) -> Callable[..., list[CompletionItem]]:
    """What a shell completes: the models in the folder of the option ``folder``, or else files."""

    def complete(
        context: click.Context, parameter: click.Parameter, begun: str
    ) -> list[CompletionItem]:
        root = Path(context.params.get(folder) or folder)
        found = sorted(path.name for path in root.glob("[!.]*/") if path.name.startswith(begun))
        return list(map(CompletionItem, found)) or [CompletionItem(begun, type="file")]

    return complete


bundle_argument = click.argument("name", metavar="NAME|PATH", shell_complete=names_in("exported"))
bundles_argument = click.argument(
    "names", nargs=-1, metavar="[NAME|PATH]...", shell_complete=names_in("exported")
)
named_bundles_argument = click.argument(
    "names", nargs=-1, required=True, metavar="NAME|PATH...", shell_complete=names_in("exported")
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


def share(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """The number that ``1%`` or ``0.01`` says."""
    if value is None:
        return None
    try:
        number = float(value.strip().removesuffix("%")) / (100 if value.strip()[-1:] == "%" else 1)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise UsageError(f"{option.opts[0]} {value}: give a share such as 1%")
    return number


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
