"""``python -m torture``: run stages of the suite, and print what was counted."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from torture.forked import load_everything
from torture.report import counts_table, faults_table
from torture.spread import Count, Plan, as_json

Stage = Callable[..., Iterator[Count]]

# How many cases a stage has unless --count says otherwise; of a full disk, how many stages.
COUNTS = {"flips": 2000, "hostile": 400, "kills": 240, "full-disk": 99, "fuzz": 1500}
SMALL = {"flips": 10, "hostile": 10, "kills": 5, "full-disk": 1, "fuzz": 16}
TARGETS, SMALL_TARGETS = ("python", "node", "c"), ("python",)
_FEW = 2  # commands that read one case of a small part


@click.command()
@click.argument("stages", nargs=-1, type=click.Choice(tuple(COUNTS)))
@click.option("--count", type=click.IntRange(min=1), help="Cases of each stage.")
@click.option("--seed", default=1, show_default=True, help="Of what is drawn.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes.  [default: one for each core]")
@click.option("--small", is_flag=True, help="The small part that the tests run.")
@click.option("--json", "machine", is_flag=True, help="Print JSON on standard output.")
def torture(
    stages: tuple[str, ...],
    count: int | None,
    seed: int,
    jobs: int | None,
    small: bool,
    machine: bool,
) -> None:
    """Count what the pipeline survives, in all stages or those named; exit 1 if anything is bad."""
    load_everything()
    from torture.originals import make_originals, own_settings, scratch

    jobs = jobs or len(os.sched_getaffinity(0))
    counts, targets = (SMALL, SMALL_TARGETS) if small else (COUNTS, TARGETS)
    console = Console(stderr=True)
    counted = []
    with scratch() as place, console.status("making models") as status:
        own_settings(place / "settings")
        originals = make_originals(place / "originals", targets, status.update)
        status.stop()
        for name in stages or tuple(COUNTS):
            plan = Plan(count or counts[name], seed, jobs, _FEW if small else 99)
            counted.append(_run(name, originals, plan, console))
    if machine:
        click.echo(as_json(counted))
    else:
        out = Console(width=None if sys.stdout.isatty() else 160)
        for table in (counts_table(counted), *faults_table(counted)):
            out.print(table)
    sys.exit(any(stage.findings for stage in counted))


def _run(name: str, originals: object, plan: Plan, console: Console) -> Count:
    """One stage with a bar; what it has counted at its end."""
    started = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[bad]} bad"),
        TimeElapsedColumn(),
    )
    counted = Count(name, "")
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(name, total=plan.count, bad=0)
        for counted in stage_of(name)(originals, plan):
            progress.update(bar, completed=counted.cases, bad=counted.bad)
    counted.seconds = round(time.monotonic() - started, 1)
    return counted


def stage_of(name: str) -> Stage:
    """The function of a stage, whose files are only imported when all libraries are loaded."""
    from torture.flips import flips
    from torture.full_disk import full_disk
    from torture.fuzz import fuzz
    from torture.kills import kills
    from torture.strange import hostile

    return {
        "flips": flips,
        "hostile": hostile,
        "kills": kills,
        "full-disk": full_disk,
        "fuzz": fuzz,
    }[name]


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    torture()
