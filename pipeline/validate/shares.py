"""Largest errors as shares of the tolerance, and in words for people."""

import math

from pipeline.validate.records import CaseRecord, Row


def share_of(record: CaseRecord | Row) -> float:
    """The largest error as a share of the tolerance; infinite where a result is not finite."""
    return math.inf if record.share is None else record.share


def percent(share: float) -> str:
    """A share of the tolerance, for people."""
    if not math.isfinite(share):
        return "not finite"
    number = f"{share * 100:.2g}" if share < 0.1 else f"{share * 100:,.0f}"
    return f"{number}\N{NO-BREAK SPACE}%"
