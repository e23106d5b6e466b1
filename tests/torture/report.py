"""The tables at the end: what was counted, and each kind of fault with an example."""

from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from torture.spread import Count

# What a bad case is called in the README.
BAD = {
    "flips": "unseen",
    "hostile": "run code, write outside, hang or end in a traceback",
    "kills": "lost, half, stuck or left behind",
    "full-disk": "without the old artefact, whole",
    "fuzz": "without a code and one line",
}


def counts_table(counts: Sequence[Count]) -> Table:
    """One row for each stage."""
    table = Table(title="What was tried, and how often it went wrong", title_justify="left")
    table.add_column("stage")
    table.add_column("what", overflow="fold")
    for name in ("cases", "commands run", "bad", "minutes"):
        table.add_column(name, justify="right")
    table.add_column("a bad one is", overflow="fold")
    for counted in counts:
        table.add_row(
            counted.stage,
            "; ".join((counted.what, *counted.notes)),
            f"{counted.cases:,}",
            f"{counted.readings:,}",
            f"{counted.bad:,}",
            f"{counted.seconds / 60:.1f}",
            BAD[counted.stage],
        )
    return table


def faults_table(counts: Sequence[Count]) -> Iterator[Table]:
    """Every kind of fault with how often it came and one case, if there are any."""
    if not any(counted.findings for counted in counts):
        return
    table = Table(title="Bad ones, one of each kind", title_justify="left", show_lines=True)
    for name in ("stage", "times", "case", "command", "fault"):
        table.add_column(name, overflow="fold")
    for counted in counts:
        for number, finding in counted.kinds():
            cells = (finding.case, finding.command, finding.fault)
            table.add_row(counted.stage, str(number), *map(escape, cells))
    yield table
