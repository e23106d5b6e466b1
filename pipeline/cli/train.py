"""``pipeline train``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cells import CELLS, NONLINEARITIES, with_option
from pipeline.cli.options import (
    checkpoints_option,
    force_option,
    json_option,
    next_command,
    several,
)
from pipeline.cli.train_one import train_one
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.config import Source
    from pipeline.data import Series, Text

_PRECISIONS = click.Choice(["auto", "float32", "bfloat16"])


@click.command()
@click.argument("names", nargs=-1, metavar="[PRESET]...")
@click.option("--task", "family", help="Only presets of this task: sine or char.")
@several("--cell", str, f"Only presets of these cells: {', '.join(CELLS)}.")
@click.option("--name", help="Name of the checkpoint, instead of the preset's.")
@several("--hidden-size", int, "Units of each layer; several make a grid.")
@several("--num-layers", int, "Recurrent layers; several make a grid.")
@click.option("--embedding-size", type=int, help="Columns of the character embedding.")
@click.option("--dropout", type=float, help="Dropout between layers.")
@click.option("--bidirectional", is_flag=True, help="Read whole windows, in both directions.")
@click.option("--no-bias", "bias", flag_value=False, default=None, help="Of the recurrent layers.")
@click.option(
    "--nonlinearity",
    type=click.Choice(NONLINEARITIES),
    help=f"Of the cell {with_option('nonlinearity')}.",
)
@click.option(
    "--proj-size",
    type=int,
    help=f"Columns that h is projected to, of the cell {with_option('proj_size')}.",
)
@click.option("--epochs", type=int, help="Passes over the training part.")
@click.option("--minutes", type=float, help="Time budget, held to a step; the schedule fits it.")
@click.option("--learning-rate", type=float, help="Peak of the schedule.")
@click.option("--batch-size", type=int, help="Windows, or streams of text, at a time.")
@click.option("--window", type=int, help="Steps that gradients flow back through.")
@click.option("--weight-decay", type=float, help="Of AdamW.")
@click.option("--clip-norm", type=float, help="Largest norm of a gradient.")
@click.option("--state-penalty", type=float, help="Weight of the mean square of the state.")
@click.option("--label-smoothing", type=float, help="Share of the target spread evenly.")
@click.option("--precision", type=_PRECISIONS, help="Of the forward pass; auto takes the faster.")
@click.option("--threads", type=int, help="Of the processor; else one, or all if far faster.")
@click.option("--seed", type=int, help="Of weights, order and dropout.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
@click.option("--text", multiple=True, metavar="FILE", help="Train on this UTF-8 text. Repeatable.")
@click.option("--lowercase", is_flag=True, default=None, help="Of the text, before all else.")
@click.option("--alphabet", metavar="a-z", help="Leave all other characters of the text out.")
@click.option("--min-count", type=int, help="Rarer characters become the unknown entry.")
@click.option("--series", metavar="FILE", help="Train on this table in CSV or Parquet.")
@click.option("--target", multiple=True, metavar="COLUMN", help="To forecast. Repeatable.")
@click.option("--time", metavar="COLUMN", help="When the rows of --series are.")
@click.option("--id", metavar="[COLUMN=]ID", help="Which of several series; COLUMN is unique_id.")
@click.option("--fill", type=click.Choice(["previous", "linear"]), help="Fill missing values so.")
@click.option("--resample", metavar="D", help="Average onto even steps: h, D, B, W, MS, …")
@click.option("--season", type=int, help="Period of --series in steps, for seasonal naive.")
@click.option("--horizon", type=int, help="Steps of a free run of --series, for its score.")
@click.option("--length", type=int, help="Samples of the sine.")
@click.option("--frequency", type=float, multiple=True, help="Of a sine wave. Repeatable.")
@click.option("--noise", type=float, help="Deviation of the noise on the sine.")
@click.option("--noise-seed", type=int, help="Of the noise on the sine.")
@click.option("--plot", "picture", type=click.Path(path_type=Path), help="Draw the scores.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted training.")
@checkpoints_option
@force_option
@json_option
def train(
    names: tuple[str, ...],
    family: str | None,
    cell: tuple[str, ...],
    hidden_size: tuple[int, ...],
    num_layers: tuple[int, ...],
    device: str,
    text: tuple[str, ...],
    series: str | None,
    picture: Path | None,
    bidirectional: bool,
    resume: bool,
    checkpoints: Path,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train networks, all presets or those named.

    \b
    pipeline train
    pipeline train char-lstm --hidden-size 256 --minutes 5
    pipeline train --cell gru --text book.txt --name book-gru
    pipeline train --task sine --cell rnn,lstm,gru --hidden-size 50,100 --num-layers 1,2
    """
    from pipeline.config import WHOLE_SEQUENCES, grid, select
    from pipeline.data import load
    from pipeline.report.output import finish, say
    from pipeline.report.tables import by_score, score_charts, score_tables

    if text and series:
        raise UsageError("--text and --series exclude each other; give one of them")
    given = {key: value for key, value in options.items() if value is not None and value != ()}
    if text:
        family, given["source"] = family or "char", {"kind": "text", "files": text}
    elif series:
        family, given["source"] = family or "sine", {"kind": "series", "file": series}
    if bidirectional:
        given = WHOLE_SEQUENCES | given
    presets = [preset for one in cell or (None,) for preset in select(names, family, one)]
    is_grid = any(len(values) > 1 for values in (cell, hidden_size, num_layers))
    if "name" in given and len(presets) > 1 and not is_grid:
        raise UsageError("--name fits one model; name one preset, or give --task and --cell")
    configs = grid(presets, given, hidden_size, num_layers)
    if picture is not None:
        from pipeline.report.picture import check_picture

        check_picture(picture, {config.model.task for config in configs})
    if device != "auto":  # which is settled when something is to be trained
        from pipeline.train.speed import choose_device

        choose_device(device)
    read: dict[Source, Series | Text] = {}
    results = []
    for config in configs:
        if config.source not in read:
            read[config.source] = load(config.source)
            for note in read[config.source].notes:
                say(note)
        data = read[config.source]
        results.append(train_one(config, data, checkpoints, device, resume, force))
    trained = [checkpoint for checkpoint, _ in results]
    if is_grid:
        trained = by_score(trained)
    if picture is not None:
        from pipeline.report.plot import plot_scores

        plot_scores(trained, picture)
        say(f"drawn: {picture}")
    finish(
        as_json,
        [
            {"name": checkpoint.config.name, "status": status, **checkpoint.model_dump(mode="json")}
            for checkpoint, status in results
        ],
        [*score_tables(trained), *(score_charts(trained) if is_grid else ())],
        next_command(
            "pipeline export",
            tuple(config.name for config in configs) if names or "name" in given else (),
        ),
    )
