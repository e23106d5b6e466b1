"""``report.html``: one page with the verdict of a validation and its evidence."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pipeline.bundle import Bundle
from pipeline.escaping import prose
from pipeline.report.current import command, fingerprint
from pipeline.report.figures import (
    draw_along_stream,
    draw_by_length,
    draw_forecast,
    draw_spread,
    largest_by_length,
)
from pipeline.report.matrix import matrix
from pipeline.report.remarks import remarks
from pipeline.report.samples import TextSample, continue_text
from pipeline.report.svg import svg
from pipeline.validate import CaseRecord, Row, Validation
from pipeline.validate.free_run import why_not_free
from pipeline.validate.shares import percent, share_of

_TEMPLATE = Path(__file__).with_name("report.html.j2")


@dataclass(frozen=True)
class CaseKind:
    """A kind of case, and for each row of its table the record with the largest error."""

    name: str
    worst: tuple[CaseRecord | None, ...]


@dataclass(frozen=True)
class Table:
    """Rows of one model that were compared case by case, and the kinds of their cases."""

    rows: tuple[Row, ...]
    kinds: tuple[CaseKind, ...]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Table":
        """The table of ``rows``."""
        names = dict.fromkeys(record.case for row in rows for record in row.cases)
        kinds = (CaseKind(name, tuple(_worst(row, name) for row in rows)) for name in names)
        return cls(tuple(rows), tuple(kinds))

    @property
    def failed(self) -> Iterator[tuple[Row, CaseRecord]]:
        """Every row with the record of each kind whose error is the largest, if that failed."""
        for kind in self.kinds:
            for row, record in zip(self.rows, kind.worst, strict=True):
                if record is not None and not record.passed:
                    yield row, record

    @property
    def worst(self) -> Iterator[tuple[Row, CaseRecord]]:
        """Every row with the record whose error is the largest."""
        for row in self.rows:
            if row.cases:
                yield row, max(row.cases, key=share_of)


@dataclass(frozen=True)
class Section:
    """The section of the page on one model.

    ``no_sample`` says why there is no text sample or forecast; empty if there is one.
    """

    bundle: Bundle
    validation: Validation
    command: str
    steps: Table
    loops: Table
    replays: tuple[Row, ...]
    pictures: tuple[tuple[str, Markup], ...]
    sample: TextSample | None
    no_sample: str

    @property
    def worst(self) -> str:
        """The largest error of all rows that were compared, in words; empty if there is none."""
        shares = [share_of(row) for row in self.validation.rows if row.compared]
        if not shares:
            return ""
        if math.isinf(max(shares)):
            return "an error is not finite"
        return f"at most {percent(max(shares))} of the tolerance"

    @property
    def failed_places(self) -> list[tuple[Row, CaseRecord]]:
        """Where cases failed, of the model itself and of its loop."""
        return [*self.steps.failed, *self.loops.failed]

    @property
    def places(self) -> list[tuple[Row, CaseRecord]]:
        """Where the largest error of each row is, of the model itself and of its loop."""
        return [*self.steps.worst, *self.loops.worst]


def report_html(validated: Sequence[tuple[Bundle, Validation]]) -> bytes:
    """The page for bundles and their validations; equal input gives the same bytes.

    Raises:
        IntegrityError: a file of a bundle was changed.
        MalformedError: a file of a bundle is missing or not what it should be.
    """
    validations = [validation for _, validation in validated]
    rows = [row for validation in validations for row in validation.rows]
    environment = Environment(
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "share": share_of, "count": _count}
    page = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        fingerprint=fingerprint(validated),
        passed=bool(validations) and all(validation.passed for validation in validations),
        models=[validation.model for validation in validations],
        failed_models=sum(not validation.passed for validation in validations),
        ran=[row for row in rows if row.status != "not run"],
        failed=[row for row in rows if row.status == "fail"],
        cases=[record for row in rows for record in row.cases],
        calls=sum(row.replay.calls for row in rows if row.replay),
        largest=max((share_of(row) for row in rows if row.compared), default=0.0),
        matrix=matrix(validations),
        loops=matrix(validations, loops=True),
        remarks=remarks(validations),
        sections=[_section(bundle, validation) for bundle, validation in validated],
    )
    return page.encode()


def _shown(value: Any) -> Any:
    """The value of a template expression with hidden characters made visible, not yet escaped."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else prose(value)


def _count(number: int, singular: str) -> str:
    return f"{number:,} {singular}{'' if number == 1 else 's'}"


def _section(bundle: Bundle, validation: Validation) -> Section:
    ran = [row for row in validation.rows if row.status != "not run" and not row.replay]
    steps = [row for row in ran if row.graph == "model"]
    sample, no_sample = None, _why_no_sample(bundle, steps)
    pictures = list(_pictures(validation.model, ran))
    if not no_sample and bundle.manifest.task == "text":
        sample = continue_text(bundle)
    elif not no_sample:
        drawn = svg(f"{validation.model}, forecast", partial(draw_forecast, bundle=bundle))
        pictures.append(("Forecast against truth, by ONNX Runtime", drawn))
    return Section(
        bundle=bundle,
        validation=validation,
        command=command(bundle, validation),
        steps=Table.of(steps),
        loops=Table.of([row for row in ran if row.graph != "model"]),
        replays=tuple(row for row in validation.rows if row.replay),
        pictures=tuple(pictures),
        sample=sample,
        no_sample=no_sample,
    )


def _pictures(name: str, rows: Sequence[Row]) -> Iterator[tuple[str, Markup]]:
    """The pictures of ``rows`` that ran; loops have no length of a sequence, and no stream."""
    ran = [row for row in rows if row.cases]
    steps = [row for row in ran if row.graph == "model"]
    if ran:
        yield "Errors of all cases", svg(f"{name}, spread", partial(draw_spread, rows=ran))
    if any(len(largest_by_length(row)) > 1 for row in steps):
        drawn = svg(f"{name}, by length", partial(draw_by_length, rows=steps))
        yield "Errors by length of the sequence", drawn
    if any(record.curve for row in steps for record in row.cases):
        drawn = svg(f"{name}, along a stream", partial(draw_along_stream, rows=steps))
        yield "Errors along one stream", drawn


def _why_no_sample(bundle: Bundle, rows: Sequence[Row]) -> str:
    """Why the model cannot show what it makes on its own; empty if it can."""
    manifest = bundle.manifest
    passed = [row for row in rows if row.cases and row.status == "pass"]
    if not any(row.runtime.startswith("onnxruntime") for row in passed):
        return "no row of ONNX Runtime passed"
    if manifest.model is None:
        return "it is a module, without a task"
    if manifest.training is None:
        return "it was imported, without data of its task"
    return why_not_free(manifest.model)


def _worst(row: Row, kind: str) -> CaseRecord | None:
    records = (record for record in row.cases if record.case == kind)
    return max(records, key=share_of, default=None)
