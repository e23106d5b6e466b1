"""The options that say which TorchScript files may run."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import PATH, Command

if TYPE_CHECKING:
    from pipeline.trust import Trust


def key_option(purpose: str, required: bool = False) -> Callable[[Command], Command]:
    """The option ``--key``, a file, with ``purpose`` as its help."""
    return click.option("--key", type=PATH, required=required, metavar="FILE.pem", help=purpose)


def trust_options(command: Command) -> Command:
    """The options ``--key`` and ``--trust``."""
    command = click.option(
        "--trust",
        "trust_all",
        is_flag=True,
        help="Run any TorchScript. It is code, and can do on this machine whatever you can.",
    )(command)
    return key_option("Run TorchScript of bundles that the owner of this public key signed.")(
        command
    )


def make_trust(key: Path | None, trust_all: bool) -> "Trust":
    """The trust that both options give.

    Raises:
        UsageError: the file of ``key`` does not exist.
        MalformedError: the file of ``key`` holds no public key.
        UnavailableError: there is a key, and model-signing is not installed.
    """
    from pipeline.trust import PublicKey, Trust

    return Trust(trust_all, PublicKey(key) if key is not None else None)
