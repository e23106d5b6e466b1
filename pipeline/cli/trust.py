"""The options that say which TorchScript of others may run."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import Command

if TYPE_CHECKING:
    from pipeline.trust import Trust


def key_option(purpose: str, required: bool = False) -> Callable[[Command], Command]:
    """``--key``, a file."""
    return click.option(
        "--key",
        type=click.Path(path_type=Path),
        required=required,
        metavar="FILE.pem",
        help=purpose,
    )


def trust_options(command: Command) -> Command:
    """``--key`` and ``--trust``."""
    command = click.option(
        "--trust",
        "trust_all",
        is_flag=True,
        help="Run TorchScript whoever made it. It is code, and can do what you can.",
    )(command)
    return key_option("Run TorchScript that the owner of this public key has signed.")(command)


def make_trust(key: Path | None, trust_all: bool) -> "Trust":
    """What the options say.

    Raises:
        UsageError: there is no such file.
        MalformedError: the file holds no public key.
        UnavailableError: there is a key, and model-signing is not installed.
    """
    from pipeline.trust import PublicKey, Trust

    return Trust(trust_all, PublicKey(key) if key is not None else None)
