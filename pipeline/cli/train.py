"""``pipeline train``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from pipeline.cells import CELLS, NONLINEARITIES, with_option
from pipeline.cli.baselines import Baselines
from pipeline.cli.options import (
    PATH,
    checkpoints_option,
    force_option,
    json_option,
    next_command,
    section,
    several,
)
from pipeline.cli.train_one import train_one
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.config import Source
    from pipeline.data import Series, Text
    from pipeline.train.callback import Callback

_preset, _network, _training = section("Presets"), section("Network"), section("Training")
_text, _series, _sine = section("Text data"), section("Series data"), section("Sine data")
_GRID = "Several values train a grid of networks."


def _presets(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    from pipeline.config import PRESETS

    return [name for name in PRESETS if name.startswith(begun)]


@click.command(cls=cloup.Command)
@click.argument("names", nargs=-1, metavar="[PRESET]...", shell_complete=_presets)
@_preset("--task", "family", help="Train only the presets of this task: sine or char.")
@several("--cell", str, f"Train only the presets of these cells: {', '.join(CELLS)}.", "Presets")
@_preset("--name", help="Name of the checkpoint.  [default: name of the preset]")
@several("--hidden-size", int, f"Units of each recurrent layer. {_GRID}", "Network")
@several("--num-layers", int, f"Number of recurrent layers. {_GRID}", "Network")
@_network("--embedding-size", type=int, help="Size of the character embedding of a text model.")
@_network("--dropout", type=float, help="Dropout probability between recurrent layers.")
@_network(
    "--bidirectional",
    is_flag=True,
    help="Read whole windows in both directions. Such a network carries no state.",
)
@_network(
    "--no-bias",
    "bias",
    flag_value=False,
    default=None,
    help="Leave the biases out of the recurrent layers.",
)
@_network(
    "--nonlinearity",
    type=click.Choice(NONLINEARITIES),
    help=f"Nonlinearity of the cell {with_option('nonlinearity')}.",
)
@_network(
    "--proj-size",
    type=int,
    help=f"Size that the cell {with_option('proj_size')} projects its h to.",
)
@_training("--epochs", type=int, help="Passes over the training part of the data.")
@_training(
    "--minutes",
    type=float,
    help="Time budget in minutes, kept to within one step. The learning-rate schedule is fitted to "
    "it.",
)
@_training("--learning-rate", type=float, help="Peak learning rate of the schedule.")
@_training(
    "--batch-size", type=int, help="Windows of a series, or streams of a text, in one batch."
)
@_training("--window", type=int, help="Time steps that gradients flow back through.")
@_training("--weight-decay", type=float, help="Weight decay of AdamW.")
@_training("--clip-norm", type=float, help="Norm that larger gradients are scaled down to.")
@_training(
    "--state-penalty", type=float, help="Weight of the mean square of the state in the loss."
)
@_training(
    "--label-smoothing",
    type=float,
    help="Share of the target probability that is spread evenly over all characters.",
)
@_training(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    help="Precision of the forward pass. auto is float32, or bfloat16 for a text if that is "
    "measured to be clearly faster.",
)
@_training(
    "--threads",
    type=int,
    help="Number of processor threads.  [default: 1, or more if that is measured to be much "
    "faster]",
)
@_training("--seed", type=int, help="Seed of the initial weights, the batch order and dropout.")
@_training(
    "--device",
    default="auto",
    help="Device to train on: cpu, cuda, cuda:1, …; auto is CUDA where there is one.",
)
@_text(
    "--text",
    multiple=True,
    metavar="FILE",
    help="Train on this UTF-8 text. Repeatable; the files are joined in order.",
)
@_text("--lowercase", is_flag=True, default=None, help="Convert the text to lower case first.")
@_text(
    "--alphabet",
    metavar="a-z",
    help="Keep only these characters of the text. A hyphen makes a range.",
)
@_text(
    "--min-count",
    type=int,
    help="Replace characters that occur fewer times than this by the unknown entry.",
)
@_series("--series", metavar="FILE", help="Train on this table in CSV or Parquet.")
@_series(
    "--target",
    multiple=True,
    metavar="COLUMN",
    help="Column to forecast. Repeatable.  [default: y, or the only column of numbers]",
)
@_series(
    "--time",
    metavar="COLUMN",
    help="Column of the times.  [default: found by its name, or by the dates in the first column]",
)
@_series(
    "--id",
    metavar="[COLUMN=]ID",
    help="Id of the series to read, where a table holds several. COLUMN is unique_id by default.",
)
@_series(
    "--fill",
    type=click.Choice(["previous", "linear"]),
    help="Fill in missing values: repeat the previous one, or interpolate linearly.",
)
@_series(
    "--resample",
    metavar="D",
    help="Average the rows onto even time steps of this length: h, D, B, W, MS, …",
)
@_series(
    "--season",
    type=int,
    help="Period in steps for the seasonal-naive baseline.  [default: follows from the times]",
)
@_series("--horizon", type=int, help="Steps of the free run that scores the forecasts.")
@_sine("--length", type=int, help="Number of samples of the sine.")
@_sine(
    "--frequency",
    type=float,
    multiple=True,
    help="Frequency of a sine wave. Repeatable; the waves are added.",
)
@_sine("--noise", type=float, help="Standard deviation of the noise on the sine.")
@_sine("--noise-seed", type=int, help="Seed of the noise on the sine.")
@click.option(
    "--plot",
    "picture",
    type=PATH,
    help="Draw the scores into this file, which ends in .png, .svg or .pdf.",
)
@click.option(
    "--log",
    type=click.Choice(["tensorboard"]),
    help="Record losses and scores while training, in runs/NAME for TensorBoard.",
)
@click.option(
    "--resume", is_flag=True, help="Continue an interrupted training from its last snapshot."
)
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
    log: str | None,
    resume: bool,
    checkpoints: Path,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train networks: all presets, or those named.

    An option that is left out keeps the value of the preset, which "pipeline presets --json" shows.

    \b
    pipeline train
    pipeline train char-lstm --hidden-size 256 --minutes 5
    pipeline train --cell lstm --text book.txt --name book-lstm
    pipeline train --cell rnn,lstm --hidden-size 50,100
    """
    from pipeline.config import WHOLE_SEQUENCES, grid, select
    from pipeline.data import load
    from pipeline.report.output import finish, say
    from pipeline.report.score_tables import by_score, score_charts, score_tables

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
    if device != "auto":  # auto is resolved only when something has to be trained
        from pipeline.train.speed import choose_device

        choose_device(device)
    callbacks: list[Callback] = []
    if log == "tensorboard":
        from pipeline.train.tensorboard import TensorBoard

        callbacks.append(TensorBoard())
    read: dict[Source, Series | Text] = {}
    results, baselines = [], Baselines()
    for config in configs:
        if config.source not in read:
            read[config.source] = load(config.source)
            for note in read[config.source].notes:
                say(note)
        data = read[config.source]
        places = (checkpoints, device, baselines)
        results.append(train_one(config, data, *places, resume, force, callbacks))
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
