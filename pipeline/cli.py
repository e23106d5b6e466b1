"""The command line: joins the stages, prints, and exits. Heavy imports happen inside commands."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipeline import __version__
from pipeline.errors import (
    INTERRUPTED,
    ParityError,
    PipelineError,
    UnavailableError,
    UsageError,
    unknown,
)

if TYPE_CHECKING:
    import torch

    from pipeline.bundle import Bundle
    from pipeline.checkpoint import Checkpoint
    from pipeline.config import Config
    from pipeline.validate import Validation

Command = TypeVar("Command", bound=Callable[..., Any])

_PRECISIONS = click.Choice(["auto", "float32", "bfloat16"])


def main() -> None:
    """Run the command line and end the process with the exit code of what happened."""
    try:
        cli(standalone_mode=False)
    except PipelineError as error:
        _fail(str(error), error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), UsageError.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted; what was written before is whole", INTERRUPTED)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "onnxruntime":
            raise
        _fail(
            "onnxruntime is not installed; run 'pip install onnxruntime'",
            UnavailableError.exit_code,
        )
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone; nobody is left to tell
        sys.exit(1)


def _fail(message: str, exit_code: int) -> None:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(exit_code)


class _Commands(click.Group):
    """A group that suggests the nearest command."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-"):
            raise unknown("command", args[0], self.commands)
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pipeline")
def cli() -> None:
    """Take recurrent networks from PyTorch to the place where they run.

    train → export → validate. With no names, each command takes every model there is.

    Exit codes: 0 done, 2 usage, 3 malformed input, 4 unsafe, 5 integrity, 6 parity,
    7 environment, 8 storage, 130 interrupted.
    """


def _folder(flag: str, default: str, purpose: str) -> Callable[[Command], Command]:
    return click.option(
        flag, type=click.Path(path_type=Path), default=default, show_default=True, help=purpose
    )


def _next(command: str, names: tuple[str, ...]) -> str:
    """The command to type next, for the same models."""
    return " ".join((command, *names))


_checkpoints = _folder("--checkpoints", "checkpoints", "Folder of the checkpoints.")
_exported = _folder("--exported", "exported", "Folder of the bundles.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
_force = click.option("--force", is_flag=True, help="Do the work even if nothing has changed.")


@cli.command()
@click.argument("names", nargs=-1, metavar="[PRESET]...")
@click.option("--task", "family", help="Only presets of this task: sine or char.")
@click.option("--cell", help="Only presets of this cell: rnn, lstm or gru.")
@click.option("--name", help="Name of the checkpoint, instead of the preset's.")
@click.option("--hidden-size", type=int, help="Units of each recurrent layer.")
@click.option("--num-layers", type=int, help="Recurrent layers.")
@click.option("--embedding-size", type=int, help="Columns of the character embedding.")
@click.option("--dropout", type=float, help="Dropout between layers.")
@click.option("--epochs", type=int, help="Passes over the training part.")
@click.option("--minutes", type=float, help="Time budget; the schedule fits itself to it.")
@click.option("--learning-rate", type=float, help="Peak of the schedule.")
@click.option("--batch-size", type=int, help="Windows, or streams of text, at a time.")
@click.option("--window", type=int, help="Steps that gradients flow back through.")
@click.option("--weight-decay", type=float, help="Of AdamW.")
@click.option("--clip-norm", type=float, help="Largest norm of a gradient.")
@click.option("--state-penalty", type=float, help="Weight of the mean square of the state.")
@click.option("--label-smoothing", type=float, help="Share of the target spread evenly.")
@click.option("--precision", type=_PRECISIONS, help="Of the forward pass; auto takes the faster.")
@click.option("--threads", type=int, help="Of the processor, instead of what measures faster.")
@click.option("--seed", type=int, help="Of weights, order and dropout.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
@click.option("--text", multiple=True, metavar="FILE", help="Train on this UTF-8 text. Repeatable.")
@click.option("--series", metavar="FILE", help="Train on this column of numbers.")
@click.option("--season", type=int, help="Period of --series in steps, for seasonal naive.")
@click.option("--length", type=int, help="Samples of the sine.")
@click.option("--frequency", type=float, multiple=True, help="Of a sine wave. Repeatable.")
@click.option("--noise", type=float, help="Deviation of the noise on the sine.")
@click.option("--noise-seed", type=int, help="Of the noise on the sine.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted training.")
@_checkpoints
@_force
@_json
def train(
    names: tuple[str, ...],
    family: str | None,
    cell: str | None,
    device: str,
    text: tuple[str, ...],
    series: str | None,
    resume: bool,
    checkpoints: Path,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train networks, all six presets or those named.

    \b
    pipeline train
    pipeline train char-lstm --hidden-size 256 --minutes 5
    pipeline train --cell gru --text book.txt --name book-gru
    """
    from pipeline.config import override, select
    from pipeline.report.output import finish
    from pipeline.report.tables import score_tables
    from pipeline.train.loop import choose_device

    if text and series:
        raise UsageError("--text and --series exclude each other; give one of them")
    given = {key: value for key, value in options.items() if value not in (None, ())}
    if text:
        family, given["source"] = family or "char", {"kind": "text", "files": text}
    elif series:
        family, given["source"] = family or "sine", {"kind": "series", "file": series}
    configs = [override(config, given) for config in select(names, family, cell)]
    if "name" in given and len(configs) > 1:
        raise UsageError("--name fits one model; name one preset, or give --task and --cell")
    place = choose_device(device)
    results = [_train_one(config, checkpoints, place, resume, force) for config in configs]
    finish(
        as_json,
        [
            {"name": checkpoint.config.name, "status": status, **checkpoint.model_dump(mode="json")}
            for checkpoint, status in results
        ],
        score_tables([checkpoint for checkpoint, _ in results]),
        _next("pipeline export", names),
    )


def _train_one(
    config: "Config", root: Path, device: "torch.device", resume: bool, force: bool
) -> tuple["Checkpoint", str]:
    from pipeline import checkpoint as store
    from pipeline.data import load
    from pipeline.report.output import console, say
    from pipeline.report.progress import training_bar
    from pipeline.storage import exclusive
    from pipeline.train.batches import make_task
    from pipeline.train.loop import Trainer
    from pipeline.train.scores import score

    folder = root / config.name
    data = load(config.source)
    with exclusive(folder):
        if not force and (finished := store.finished_checkpoint(folder, config, data.digest)):
            say(f"{config.name}: unchanged")
            return finished, "unchanged"
        trainer = Trainer(config, make_task(config, data), device)
        if resume and (snapshot := store.load_snapshot(folder, config, data.digest)):
            trainer.restore(snapshot)
            say(f"{config.name}: going on after epoch {snapshot.epoch}")
        saved = trainer.seconds
        with training_bar(console(), config.name) as bar:
            for progress in trainer.run():
                bar.show(progress)
                if progress.validation_loss is not None and trainer.seconds - saved > 2:
                    store.save_snapshot(folder, trainer.snapshot(), config, data.digest)
                    saved = trainer.seconds
        scores = score(trainer.best_network(), data)
        checkpoint = store.save_checkpoint(folder, trainer, config, data, scores)
    say(f"{config.name}: trained in {trainer.seconds:.0f} s")
    return checkpoint, "trained"


@cli.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--opset", type=int, default=18, show_default=True, help="ONNX opset, 18 to 23.")
@_checkpoints
@_exported
@_force
@_json
def export(
    names: tuple[str, ...],
    opset: int,
    checkpoints: Path,
    exported: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Export checkpoints to TorchScript and ONNX, as bundles.

    \b
    pipeline export
    pipeline export char-lstm --opset 20
    """
    from pipeline.checkpoint import CHECKPOINT_FILE, find_models
    from pipeline.export import OPSETS
    from pipeline.report.output import finish

    if opset not in OPSETS:
        raise UsageError(f"--opset {opset}: give one from {OPSETS.start} to {OPSETS.stop - 1}")
    folders = find_models(checkpoints, CHECKPOINT_FILE, names, made_by="train")
    results = [_export_one(folder, exported / folder.name, opset, force) for folder in folders]
    finish(
        as_json,
        [
            {"name": bundle.manifest.name, "status": s, "bundle": str(bundle.folder)}
            for bundle, s in results
        ],
        [],
        _next("pipeline validate", names),
    )


def _export_one(source: Path, target: Path, opset: int, force: bool) -> tuple["Bundle", str]:
    from pipeline import bundle as bundles
    from pipeline.checkpoint import CHECKPOINT_FILE, load_network, read_checkpoint
    from pipeline.report.output import console, say
    from pipeline.storage import exclusive, sha256

    checkpoint = read_checkpoint(source)
    digest = sha256((source / CHECKPOINT_FILE).read_bytes())
    network = load_network(source, checkpoint)
    with exclusive(target):
        if not force and (current := bundles.current_bundle(target, digest, opset)):
            say(f"{target.name}: unchanged")
            return current, "unchanged"
        with console().status(f"exporting {target.name}"):
            bundles.write_bundle(target, bundles.build_bundle(checkpoint, digest, network, opset))
    bundle = bundles.open_bundle(target)
    size = sum(entry.bytes for entry in bundle.manifest.files.values())
    say(f"{target.name}: exported to {target}, {len(bundle.manifest.files)} files, {size:,} bytes")
    return bundle, "exported"


@cli.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--provider", "providers", multiple=True, help="cpu or cuda. Repeatable; must be there."
)
@_exported
@_force
@_json
def validate(
    names: tuple[str, ...], providers: tuple[str, ...], exported: Path, force: bool, as_json: bool
) -> None:
    """Compare TorchScript and ONNX Runtime with PyTorch, on every provider that is there.

    \b
    pipeline validate
    pipeline validate sine-lstm --provider cuda
    """
    from pipeline.bundle.manifest import MANIFEST_FILE
    from pipeline.checkpoint import find_models
    from pipeline.report.output import finish, say
    from pipeline.report.tables import validation_notes, validation_table
    from pipeline.runtimes import PROVIDERS, require

    require(providers)
    chosen = tuple(dict.fromkeys(providers)) or PROVIDERS
    folders = find_models(exported, MANIFEST_FILE, names, made_by="export")
    results = [_validate_one(folder, chosen, force) for folder in folders]
    failed = [result.model for result in results if not result.passed]
    for note in validation_notes(results):
        say(note)
    finish(
        as_json,
        [result.model_dump(mode="json") for result in results],
        [validation_table(results)],
        "" if failed else _next("pipeline inspect", names),
    )
    for row in (row for result in results for row in result.rows):
        if row.provider in providers and row.status == "not run":
            raise UnavailableError(f"{row.format} did not run on '{row.provider}': {row.reason}")
    if failed:
        raise ParityError(f"{', '.join(failed)}: numbers do not match; see the rows marked fail")


def _validate_one(folder: Path, providers: tuple[str, ...], force: bool) -> "Validation":
    from pipeline.bundle import open_bundle
    from pipeline.report.output import console, say
    from pipeline.storage import canonical_json, exclusive
    from pipeline.validate import current_validation, validate_bundle

    with exclusive(folder):
        bundle = open_bundle(folder)
        bundle.verify()
        if not force and (current := current_validation(bundle, providers)):
            say(f"{folder.name}: unchanged")
            return current
        with console().status(f"validating {folder.name}") as status:
            validation = validate_bundle(
                bundle, providers, lambda row: status.update(f"{row.model}: {row.format} done")
            )
        bundle.add_validation(canonical_json(validation.model_dump(mode="json")))
    return validation


@cli.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--plot", "picture", type=click.Path(path_type=Path), help="Draw .png, .svg or .pdf.")
@_exported
@_json
def inspect(names: tuple[str, ...], picture: Path | None, exported: Path, as_json: bool) -> None:
    """Check the digests of bundles and show what they hold.

    \b
    pipeline inspect sine-lstm
    pipeline inspect sine-rnn sine-lstm sine-gru --plot forecast.svg
    """
    from pipeline.bundle import open_bundle
    from pipeline.bundle.manifest import MANIFEST_FILE
    from pipeline.checkpoint import find_models
    from pipeline.report.output import finish, say
    from pipeline.report.tables import manifest_table

    folders = find_models(exported, MANIFEST_FILE, names, made_by="export")
    bundles = [open_bundle(folder) for folder in folders]
    for bundle in bundles:
        bundle.verify()
    if picture is not None:
        from pipeline.report.plot import plot

        plot(bundles, picture)
        say(f"drawn: {picture}")
    manifests = [bundle.manifest for bundle in bundles]
    finish(
        as_json,
        [manifest.model_dump(mode="json") for manifest in manifests],
        [manifest_table(manifest) for manifest in manifests],
    )


@cli.command()
@_json
def presets(as_json: bool) -> None:
    """Show the six presets that train starts from."""
    from pipeline.config import PRESETS
    from pipeline.report.output import finish
    from pipeline.report.tables import preset_table

    content = [preset.model_dump(mode="json") for preset in PRESETS.values()]
    finish(as_json, content, [preset_table(PRESETS.values())], "pipeline train")
