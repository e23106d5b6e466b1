"""``pipeline run`` of a series model."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cloup

from pipeline.cli.options import COUNT, chosen_seed, group, standard_input
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.report.grid import Grid
    from pipeline.run.bundle import Bundle
    from pipeline.run.history import History
    from pipeline.run.series import Forecast

_option = partial(cloup.Option, group=group("Series models"))
SERIES_OPTIONS = (
    _option(
        ["--history", "--series", "history"],
        metavar="FILE",
        help="Table in CSV or Parquet that the forecast follows. - is standard input.  "
        "[default: standard input]",
    ),
    _option(
        ["--id"],
        metavar="[COLUMN=]ID",
        help="Id of the series to forecast, where the table holds several. COLUMN is the one that "
        "training read, or unique_id.",
    ),
    _option(["--steps"], type=COUNT, default=20, help="Number of steps to forecast."),
    _option(
        ["--samples"],
        type=COUNT,
        default=0,
        help="Number of sample paths that the quantiles are taken from. 0 gives no quantiles.",
    ),
    _option(
        ["--out"],
        metavar="FILE.csv",
        help="Write the forecast into this CSV file: unique_id, ds, y, and the quantiles.",
    ),
    _option(
        ["--plot"],
        metavar="FILE",
        help="Draw the forecast into this file, which ends in .png, .svg or .pdf. - draws in the "
        "terminal.",
    ),
)
_PIPE = "-"  # standard input or output, in place of a file


def run_series(
    bundle: "Bundle",
    seed: int | None,
    as_json: bool,
    *,
    history: str | None,
    id: str | None,
    steps: int,
    samples: int,
    out: str | None,
    plot: str | None,
) -> None:
    """Print the forecast of ``bundle`` after ``history``; write it to ``out``, draw it to ``plot``.

    Raises:
        UsageError: there is no history, its columns are not those of the model, the model cannot
            be sampled, ``out`` is no CSV file, or ``plot`` is no picture file.
        MalformedError: the history is not a table of numbers, or the forecast is not finite.
        StorageError: a file cannot be read or written.
    """
    import numpy as np

    from pipeline.contract.records import QUANTILES
    from pipeline.data.clock import time_texts
    from pipeline.report.output import console, finish, say
    from pipeline.run.series import check_request, forecast, width_of

    graph = bundle.loop_graph
    if plot == _PIPE and as_json:
        raise UsageError("--plot - and --json both print to standard output; give a file to --plot")
    if plot not in (None, _PIPE):
        from pipeline.report.picture import check_picture

        check_picture(Path(plot), {"series"})
    if out is not None and Path(out).suffix.lower() != ".csv":
        raise UsageError(f"--out {out}: the name must end in .csv; --plot draws pictures")
    check_request(bundle.manifest, steps, samples, width_of(graph))
    read = _history(bundle, width_of(graph), history, id)
    seed = chosen_seed(seed, is_drawn=samples > 0 and steps > 0)
    rng = np.random.default_rng(seed)
    made = forecast(graph, read, steps, samples, rng)
    times = time_texts(made.times) if read.times is not None else None
    if out is not None:
        from pipeline.run.frame import forecast_csv
        from pipeline.storage import update_file

        update_file(Path(out), forecast_csv(made).encode())
        say(f"written: {out}")
    if plot == _PIPE:
        from pipeline.run.chart import terminal_chart

        terminal = console(stderr=False)
        for index in range(len(made.columns)):
            terminal.print(terminal_chart(made, index, min(terminal.width, 100)))
    elif plot is not None:
        from pipeline.run.chart import draw

        draw(made, bundle.name, Path(plot))
        say(f"drawn: {plot}")
    quantiles = made.quantiles
    content = {
        "name": bundle.name,
        "columns": made.columns,
        "id": read.id,
        "read": len(read.values),
        "seed": seed,
        "samples": samples,
        "times": times,
        "forecast": made.values.tolist(),
        "levels": None if quantiles is None else QUANTILES,
        "quantiles": None if quantiles is None else quantiles.tolist(),
    }
    finish(as_json, content, [_table(made, times)])


def _history(bundle: "Bundle", width: int, file: str | None, id: str | None) -> "History":
    """The ``width`` columns that the model reads, from a file or from standard input."""
    from pipeline.data.frames import text_columns
    from pipeline.data.tables import parse_table, read_table
    from pipeline.run.history import DataSource, history_of

    source = DataSource.of(bundle.manifest)
    as_text = text_columns(source.time, source.id) | text_columns(None, id)
    if file in (None, _PIPE):
        path, data = Path("standard input"), standard_input(even_typed=file == _PIPE)
        if not data.strip():
            raise UsageError(
                "there is no history to forecast from; give --history FILE.csv, or pipe one in"
            )
        table = parse_table(data, path, as_text)
    else:
        path = Path(file)
        table = read_table(path, as_text)
    return history_of(table, path, source, width, id=id)


def _table(made: "Forecast", times: list[str] | None) -> "Grid":
    """The forecast as a table with one row for each step, which has its time if there are any."""
    from pipeline.contract.records import QUANTILES
    from pipeline.report.grid import Grid

    table = Grid("Forecast, raw units", made.history.time or "step")
    quantiles = made.quantiles
    shares = () if quantiles is None else tuple(f"{share:.0%}" for share in QUANTILES)
    for name in made.columns:
        table.add_column(name)
        for share in shares:
            table.add_column(f"{name}, {share.replace('%', ' %')}")
    for step, values in enumerate(made.values):
        cells = [str(step + 1) if times is None else times[step]]
        for column, value in enumerate(values):
            beside = () if quantiles is None else quantiles[:, step, column]
            cells += [f"{number:#.6g}" for number in (value, *beside)]
        table.add_row(*cells)
    return table
