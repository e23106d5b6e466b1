"""Options and phrases that several commands share."""

import math
import secrets
import shlex
import sys
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipeline.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from pipeline.validate import Row

Command = TypeVar("Command", bound=Callable[..., Any])


def _folder(flag: str, default: str, purpose: str) -> Callable[[Command], Command]:
    return click.option(
        flag, type=click.Path(path_type=Path), default=default, show_default=True, help=purpose
    )


checkpoints_option = _folder("--checkpoints", "checkpoints", "Folder of the checkpoints.")
exported_option = _folder("--exported", "exported", "Folder of the bundles.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
force_option = click.option("--force", is_flag=True, help="Do the work even if nothing changed.")


def must_have_run(rows: Iterable["Row"], providers: Container[str]) -> None:
    """Raises UnavailableError for the first of ``rows`` on ``providers`` that did not run."""
    for row in rows:
        if row.graph == "model" and row.provider in providers and row.status == "not run":
            raise UnavailableError(f"{row.runtime} did not run on '{row.provider}': {row.reason}")


def several(flag: str, kind: type[int] | type[str], purpose: str) -> Callable[[Command], Command]:
    """An option whose value is a tuple without repetitions, written with commas."""

    def split(
        context: click.Context, option: click.Parameter, value: str | None
    ) -> tuple[Any, ...]:
        parts = [part.strip() for part in value.split(",")] if value is not None else []
        convert = click.types.convert_type(kind)
        return tuple(dict.fromkeys(convert(part, option, context) for part in parts))

    metavar = "N,…" if kind is int else "NAME,…"
    return click.option(flag, callback=split, metavar=metavar, help=purpose)


def next_command(command: str, names: tuple[str, ...]) -> str:
    """The command to type next, for the same models."""
    return " ".join((command, *map(shlex.quote, names)))


def finite(context: click.Context, option: click.Parameter, value: float) -> float:
    """Refuse NaN, which is in every range, and infinity."""
    if not math.isfinite(value):
        raise UsageError(f"{option.opts[0]} {value}: give a number")
    return value


def chosen_seed(seed: int | None, is_drawn: bool) -> int:
    """``seed``, or a new one, which is said where anything is drawn by it."""
    if seed is not None:
        return seed
    seed = secrets.randbelow(2**31)
    if is_drawn:
        click.echo(f"--seed {seed} gives the same again", err=True)
    return seed


def standard_input(even_typed: bool = False) -> bytes:
    """What was piped in; nothing where a person would have to type it, unless ``even_typed``."""
    if sys.stdin is None or (sys.stdin.isatty() and not even_typed):
        return b""
    data: bytes = sys.stdin.buffer.read()
    return data
