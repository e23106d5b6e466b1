"""A validation as it shows itself in a notebook: a row for each runtime that ran."""

from pipeline.notebook import shown
from pipeline.validate.records import FreeRun, Row, Validation
from pipeline.validate.shares import percent, share_of

_COLUMNS = ("runtime", "provider", "compared", "largest error", "free run", "result")


def validation_html(validation: Validation) -> str:
    """The verdict, a row for each runtime that ran, and why others failed or did not run."""
    said = "✓ all is well" if validation.passed else "✗ not as PyTorch"
    return shown(
        f"{validation.model}: {said}",
        _COLUMNS,
        [_cells(row) for row in validation.rows if row.status != "not run"],
        [
            f"{row.label} on {row.provider}: {row.status}: {row.reason}"
            for row in validation.rows
            if row.reason
        ],
    )


def _cells(row: Row) -> tuple[str, ...]:
    what = "calls" if row.replay else "cases"
    error = f"{percent(share_of(row))} of the tolerance" if row.compared else ""
    mark = "✓" if row.status == "pass" else "✗"
    compared = f"{row.compared} {what}"
    return row.label, row.provider, compared, error, _free(row.free_run), f"{mark} {row.status}"


def _free(found: FreeRun | None) -> str:
    """How far a free run agreed with PyTorch."""
    if found is None:
        return ""
    if found.first_difference is None:
        return f"{found.steps} steps"
    return f"{found.first_difference} of {found.steps} steps"
