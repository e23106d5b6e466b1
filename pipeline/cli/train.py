"""``pipeline train``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import checkpoints_option, force_option, json_option, next_command
from pipeline.errors import UsageError

if TYPE_CHECKING:
    import torch

    from pipeline.checkpoint import Checkpoint
    from pipeline.config import Config

_PRECISIONS = click.Choice(["auto", "float32", "bfloat16"])


@click.command()
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
@checkpoints_option
@force_option
@json_option
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
        next_command(
            "pipeline export",
            tuple(config.name for config in configs) if names or "name" in given else (),
        ),
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
        snapshot = store.load_snapshot(folder, config, data.digest) if resume else None
        if snapshot:
            trainer.restore(snapshot)
            say(f"{config.name}: going on after epoch {snapshot.epoch}")
        elif resume:
            say(f"{config.name}: nothing to resume, starting anew")
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
