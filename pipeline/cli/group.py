"""The ``pipeline`` command itself: its subcommands, and the exit code of every failure."""

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click

from pipeline import __version__
from pipeline.cli.benchmark import benchmark
from pipeline.cli.embed import embed
from pipeline.cli.export import export
from pipeline.cli.import_ import import_
from pipeline.cli.inspect import inspect, presets
from pipeline.cli.options import HELP, Commands
from pipeline.cli.push import push
from pipeline.cli.run import run
from pipeline.cli.sign import sign, verify
from pipeline.cli.streams import drop_unwritten, fill_closed_streams
from pipeline.cli.train import train
from pipeline.cli.validate import validate
from pipeline.errors import (
    INTERRUPTED,
    MalformedError,
    PipelineError,
    StorageError,
    UnavailableError,
    UsageError,
    one_line,
)
from pipeline.escaping import visible
from pipeline.packages import how_to_install
from pipeline.terminal import shown
from pipeline.threads import wait_asleep

DEBUG = "PIPELINE_DEBUG"  # environment variable; with 1, a fault of pipeline ends in a traceback
_OF_WRITING = {errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC}
_FAULT = 1  # exit code of a fault of pipeline itself


def main() -> None:
    """Run the command line, print its error if there is one, and exit with the matching code."""
    wait_asleep(os.environ)
    fill_closed_streams()
    try:
        cli(prog_name="pipeline", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.exit(_FAULT)  # the reader of standard output has gone
    except (Exception, KeyboardInterrupt) as error:
        message, exit_code = _failure(error)
        with suppress(OSError):
            click.echo(shown(f"error: {visible(' '.join(message.split()))}"), err=True)
        sys.exit(exit_code)
    finally:
        drop_unwritten()


def _failure(error: Exception | KeyboardInterrupt) -> tuple[str, int]:
    """The message of an error, and the exit code; ``PIPELINE_DEBUG=1`` raises faults again."""
    match error:
        case PipelineError():
            return str(error), error.exit_code
        case click.MissingParameter(ctx=click.Context() as context, param=click.Parameter() as one):
            name = one.make_metavar(context) if isinstance(one, click.Argument) else one.opts[0]
            help_of = f"{context.command_path} --help"
            return f"{name} is missing; '{help_of}' says what it is", UsageError.exit_code
        case click.ClickException():
            return error.format_message(), UsageError.exit_code
        case KeyboardInterrupt() | click.Abort():
            return (
                "interrupted; files that were written are whole, and train --resume continues",
                INTERRUPTED,
            )
        case ModuleNotFoundError(name=str(name)) if name.split(".")[0] == "onnxruntime":
            how = how_to_install("onnxruntime")
            return f"onnxruntime is not installed; run {how}", UnavailableError.exit_code
        case UnicodeEncodeError():
            character = error.object[error.start]
            return (
                f"{character!r} cannot be printed in {error.encoding}; set PYTHONUTF8=1",
                UnavailableError.exit_code,
            )
        case OSError():
            return _refused(error), StorageError.exit_code
        case RecursionError():
            return "the input is nested too deeply; simplify it", MalformedError.exit_code
        case _ if any(map(_is_of_memory, _causes(error))):
            return (
                "there is not enough memory; give a smaller file, model or batch, or free some",
                UnavailableError.exit_code,
            )
    if os.environ.get(DEBUG) == "1":
        raise error
    return (
        f"this is a fault of pipeline, {_place(error)}: {one_line(error)}; please report it, "
        f"with what it prints when {DEBUG}=1 is set",
        _FAULT,
    )


def _refused(error: OSError) -> str:
    """The message for an error of the operating system; standard output has no file name."""
    from pipeline.storage import advice

    if error.filename is None and error.errno in _OF_WRITING:
        return f"cannot write standard output: {advice(error)}"
    return f"cannot use {error.filename or 'a file'}: {advice(error)}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error``, the error that it was raised from, and so on; torch's exporter raises three."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _is_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; torch reports it as a RuntimeError, in words of its own."""
    words = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and ("can't allocate memory" in words or "out of memory" in words)
    )


def _place(error: BaseException) -> str:
    """The last line of this package in the traceback of ``error``, as ``embed/replay.py:12``."""
    package = Path(__file__).parents[1]
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(package)]
    if not ours:
        return "outside of its files"
    return f"{Path(ours[-1].filename).relative_to(package).as_posix()}:{ours[-1].lineno}"


@click.group(cls=Commands, context_settings=HELP)
@click.version_option(__version__, prog_name="pipeline")
def cli() -> None:
    """Take recurrent networks from PyTorch to the place where they run.

    The order of the commands is train (or import), export, validate, then embed or run. A model
    is given by its name or by the path of its folder. Without names, export, validate, inspect and
    benchmark take all models, and train takes all presets.

    Exit codes: 0 done, 2 usage, 3 malformed input, 4 unsafe, 5 integrity, 6 parity,
    7 environment, 8 storage, 130 interrupted. 1 is a fault of pipeline itself; set
    PIPELINE_DEBUG=1 in the environment to see its traceback.

    To complete commands, options and names with Tab, put one line into ~/.bashrc, ~/.zshrc or
    ~/.config/fish/completions/pipeline.fish:

    \b
    eval "$(_PIPELINE_COMPLETE=bash_source pipeline)"
    eval "$(_PIPELINE_COMPLETE=zsh_source pipeline)"
    _PIPELINE_COMPLETE=fish_source pipeline | source
    """


for title, commands in {
    "The road": (train, import_, export, validate, embed, run),
    "On the way": (presets, inspect, sign, verify, push, benchmark),
}.items():
    cli.section(title, *commands)
