"""Tables of validations and of the validator's test of itself, and the notes below them."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.text import Text as Styled

from pipeline.report.grid import Grid
from pipeline.report.matrix import matrix
from pipeline.report.remarks import remarks
from pipeline.validate import FreeRun, Row, Validation

if TYPE_CHECKING:
    from pipeline.validate.self_test import Outcome

_STYLE = {"pass": "green", "fail": "bold red"}


def validation_tables(
    validations: Sequence[Validation],
    title: str = "largest errors against the float64 twin of PyTorch",
) -> Iterable[Grid]:
    """A table per model, with a row per runtime and graph that ran; the others are in the notes."""
    for validation in validations:
        table = Grid(f"{validation.model}: {title}", "runtime", keys=2)
        table.add_column("provider", "name")
        for column in ("cases", "output", "next state", "vs float32", "of tolerance", "free run"):
            table.add_column(column)
        table.add_column("result", "name")
        for row in validation.rows:
            if row.status == "not run":
                continue
            table.add_row(
                row.label,
                row.provider,
                str(row.compared),
                _error(row, row.output_error),
                _error(row, row.state_error) if row.state_error != 0 else "none",  # no state
                "" if row.replay else _error(row, row.pytorch_difference),
                "" if row.share is None else f"{row.share:.0%}",
                _way(row.free_run),
                Styled(row.status, style=_STYLE[row.status]),
            )
        yield table


def matrix_table(validations: Sequence[Validation]) -> Grid:
    """Every runtime on every model: the largest error of all its graphs, as a share of the
    tolerance."""
    models = [validation.model for validation in validations]
    table = Grid("Largest error, as a share of the tolerance", "runtime", *models, turns=True)
    for line in matrix(validations):
        pairs = zip(line.rows, validations, strict=True)
        table.add_row(line.label, *(_verdict(row, validation) for row, validation in pairs))
    return table


def _verdict(row: Row | None, validation: Validation) -> Styled:
    """The verdict on the runtime of ``row``, which may also have run a graph with the loop."""
    if row is None:
        return Styled("–")
    place = (row.runtime, row.provider)
    rows = [other for other in validation.rows if (other.runtime, other.provider) == place]
    ran = [other for other in rows if other.status != "not run"]
    status = "fail" if any(other.status == "fail" for other in ran) else "pass"
    shares = [other.share for other in ran if other.share is not None]
    share = f"{max(shares):.0%}" if len(shares) == len(ran) else "∞"
    return Styled(f"{'✓' if status == 'pass' else '✗'} {share}", style=_STYLE[status])


def _error(row: Row, value: float | None) -> str:
    if value is not None:
        return f"{value:.1e}"
    return "∞" if row.compared else ""


def _way(found: FreeRun | None) -> str:
    """The number of steps in which a free run agreed with PyTorch."""
    if found is None:
        return ""
    if found.first_difference is None:
        return f"{found.steps} steps"
    return f"{found.first_difference} steps" + (", tie" if found.tie else "")


def validation_notes(validations: Sequence[Validation], details: bool = False) -> list[str]:
    """One line for each remark on ``validations``, with its models.

    What did not run is one line, unless ``details`` are asked for, which also tell of free runs.
    """
    lines: list[str] = []
    reasons: dict[str, list[str]] = {}
    for one in remarks(validations, free_runs=details):
        of = f" ({', '.join(one.models)})" if len(one.models) < len(validations) else ""
        if one.kind == "not run" and not details:
            place = one.runtime if one.provider == "cpu" else f"{one.runtime} on {one.provider}"
            reasons.setdefault(one.text.partition(";")[0], []).append(place + of)
        else:
            lines.append(f"{one.kind}: {one.runtime} on {one.provider}{of}: {one.text}")
    if reasons:
        parts = [f"{', '.join(places)}: {reason}" for reason, places in reasons.items()]
        lines.append(f"not run: {'; '.join(parts)}. --details says what to do")
    return lines


def fault_table(outcomes: "Sequence[Outcome]") -> Grid:
    """Planted faults by model: caught, missed, or a dash if the fault does not apply."""
    models = list(dict.fromkeys(item.model for item in outcomes if item.fault))
    table = Grid("Planted faults", "fault", *models)
    words = {"does not apply": "-", "caught": "caught", "missed": "MISSED"}
    found = {(item.fault, item.model): words[item.status] for item in outcomes if item.fault}
    for fault in dict.fromkeys(item.fault for item in outcomes if item.fault):
        table.add_row(fault, *(found[fault, model] for model in models))
    return table
