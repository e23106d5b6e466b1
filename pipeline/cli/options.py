"""Options and phrases that several commands share."""

import math
import secrets
import shlex
import sys
from collections.abc import Callable, Collection, Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipeline.errors import UnavailableError, UnsafeError, UsageError

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


def must_have_run(
    rows: Sequence["Row"], providers: Container[str], runtimes: Collection[str] = ()
) -> None:
    """Make sure that every runtime of ``rows``, or those of ``runtimes``, ran on ``providers``.

    One that has several rows, in several precisions, has run if one of them did.

    Raises:
        UnsafeError: the first that did not would have run code that is not trusted.
        UnavailableError: it is not there.
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
    from pipeline.report.output import say

    seed = secrets.randbelow(2**31)
    if is_drawn:
        say(f"--seed {seed} gives the same again")
    return seed


def standard_input(even_typed: bool = False) -> bytes:
    """What was piped in; nothing where a person would have to type it, unless ``even_typed``."""
    if sys.stdin is None or (sys.stdin.isatty() and not even_typed):
        return b""
    data: bytes = sys.stdin.buffer.read()
    return data
