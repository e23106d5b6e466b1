"""The ``pipeline`` command itself: its subcommands, and the exit code of every failure."""

import sys

import click

from pipeline import __version__
from pipeline.cli.benchmark import benchmark
from pipeline.cli.embed import embed
from pipeline.cli.export import export
from pipeline.cli.import_ import import_
from pipeline.cli.inspect import inspect, presets
from pipeline.cli.run import run
from pipeline.cli.train import train
from pipeline.cli.validate import validate
from pipeline.errors import INTERRUPTED, PipelineError, UnavailableError, UsageError, unknown
from pipeline.escaping import visible
from pipeline.packages import how_to_install


def main() -> None:
    """Run the command line and end the process with the exit code of what happened."""
    try:
        cli(standalone_mode=False)
    except PipelineError as error:
        _fail(str(error), error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), UsageError.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail(
            "interrupted; what was written is whole, train goes on with --resume",
            INTERRUPTED,
        )
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "onnxruntime":
            raise
        _fail(
            f"onnxruntime is not installed; run {how_to_install('onnxruntime')}",
            UnavailableError.exit_code,
        )
    except UnicodeEncodeError as error:
        character = error.object[error.start]
        _fail(
            f"{character!r} cannot be printed in {error.encoding}; set PYTHONUTF8=1",
            UnavailableError.exit_code,
        )
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone; nobody is left to tell
        sys.exit(1)


def _fail(message: str, exit_code: int) -> None:
    click.echo(f"error: {visible(' '.join(message.split()))}", err=True)
    sys.exit(exit_code)


class _Commands(click.Group):
    """A group that suggests the nearest command."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-"):
            raise unknown("command", args[0], self.commands)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="pipeline")
@click.pass_context
def cli(context: click.Context) -> None:
    """Take recurrent networks from PyTorch to the place where they run.

    train → export → validate → embed, run. A model is given by its name, or by the path of its
    folder; without any, train, export and validate take all models.

    Exit codes: 0 done, 2 usage, 3 malformed input, 4 unsafe, 5 integrity, 6 parity,
    7 environment, 8 storage, 130 interrupted.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (train, import_, export, validate, embed, run, inspect, presets, benchmark):
    cli.add_command(command)
