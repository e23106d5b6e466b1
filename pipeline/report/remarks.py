"""What must be said about the rows of validations, each remark once, with its models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.validate import Row, Validation

RemarkKind = Literal["fail", "not run", "note"]


@dataclass(frozen=True)
class Remark:
    """Why rows failed or did not run, or a note on rows: the same ``text`` for all ``models``."""

    kind: RemarkKind
    runtime: str
    provider: str
    text: str
    models: tuple[str, ...]


def remarks(validations: Sequence[Validation], free_runs: bool = True) -> list[Remark]:
    """Every remark on ``validations``, in the order of their rows, also on ``free_runs``."""
    models: dict[tuple[RemarkKind, str, str, str], list[str]] = {}
    for validation in validations:
        for row in validation.rows:
            why: RemarkKind = "not run" if row.status == "not run" else "fail"
            said: tuple[tuple[RemarkKind, str], ...] = (
                (why, row.reason),
                ("note", _note(row)),
                ("note", _strays(row) if free_runs else ""),
            )
            for kind, text in said:
                if text:
                    key = (kind, row.label, row.provider, text)
                    models.setdefault(key, []).append(row.model)
    return [Remark(*key, models=tuple(names)) for key, names in models.items()]


def _note(row: Row) -> str:
    """The note on a row, with its tolerance if that is not float32's."""
    notes = [row.note]
    if row.precision != "float32" and row.tolerance:
        notes.append(f"judged by rtol {row.tolerance.rtol:g}, atol {row.tolerance.atol:g}")
    return "; ".join(filter(None, notes))


def _strays(row: Row) -> str:
    """Where a free run that passed left PyTorch's; empty if it did not."""
    run = row.free_run
    if run is None or not run.passed or not run.note:
        return ""
    where = run.first_difference
    place = "" if where is None else f" leaves PyTorch's at step {where}"
    return f"free run{place}: {run.note}"
