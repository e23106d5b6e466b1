"""``report.html``: one page with the verdict of a validation and its evidence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pipeline.bundle import Bundle
from pipeline.escaping import prose
from pipeline.report.current import command, fingerprint
from pipeline.report.figures import (
    along_stream,
    by_length,
    forecast,
    histogram,
    percent,
    share_of,
)
from pipeline.report.matrix import matrix
from pipeline.report.samples import TextSample, continue_text
from pipeline.report.tables import validation_notes
from pipeline.validate import CaseRecord, Row, Validation
from pipeline.validate.free_run import why_not_free

_TEMPLATE = Path(__file__).with_name("report.html.j2")


@dataclass(frozen=True)
class Line:
    """A row of a model's table: for each kind of case the record with the largest error."""

    row: Row
    worst: tuple[CaseRecord | None, ...]


@dataclass(frozen=True)
class Section:
    """The section of the page on one model.

    ``no_sample`` says why there is no text sample or forecast; empty if there is one.
    """

    validation: Validation
    task: str
    command: str
    kinds: tuple[str, ...]
    lines: tuple[Line, ...]
    pictures: tuple[tuple[str, Markup], ...]
    sample: TextSample | None
    no_sample: str


def report_html(validated: Sequence[tuple[Bundle, Validation]]) -> bytes:
    """The page for bundles and their validations; equal input gives the same bytes.

    Raises:
        IntegrityError: a file of a bundle was changed.
        MalformedError: a file of a bundle is missing or not what it should be.
    """
    validations = [validation for _, validation in validated]
    notes = validation_notes(validations, details=True)
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
        models=len(validations),
        failed_models=sum(not validation.passed for validation in validations),
        ran=[row for row in rows if row.status != "not run"],
        failed=[row for row in rows if row.status == "fail"],
        cases=[record for row in rows for record in row.cases],
        calls=sum(row.replay.calls for row in rows if row.replay),
        matrix=matrix(validations),
        failures=[note for note in notes if note.startswith("fail")],
        absences=[note for note in notes if not note.startswith("fail")],
        sections=[_section(bundle, validation) for bundle, validation in validated],
    )
    return page.encode()


def _shown(value: Any) -> Any:
    """The value of a template expression with hidden characters made visible, not yet escaped."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else prose(value)


def _count(number: int, singular: str) -> str:
    return f"{number:,} {singular}{'' if number == 1 else 's'}"


def _section(bundle: Bundle, validation: Validation) -> Section:
    ran = [row for row in validation.rows if row.cases]
    kinds = tuple(dict.fromkeys(record.case for row in ran for record in row.cases))
    name, pictures, sample, no_sample = validation.model, [], None, ""
    if ran:
        pictures.append(("Errors of all cases against the tolerance", histogram(name, ran)))
        pictures.append(("Errors by length of the sequence", by_length(name, ran)))
    if any(record.curve for row in ran for record in row.cases):
        pictures.append(("Errors along one stream", along_stream(name, ran)))
    passed = [row for row in ran if row.graph == "model" and row.status == "pass"]
    if not any(row.label.startswith("onnxruntime") for row in passed):
        no_sample = "no row of ONNX Runtime passed"
    elif bundle.manifest.model is None:
        no_sample = "it is a module, without a task"
    elif bundle.manifest.training is None:
        no_sample = "it was imported, without data of its task"
    elif reason := why_not_free(bundle.manifest.model):
        no_sample = reason
    elif bundle.manifest.task == "text":
        sample = continue_text(bundle)
    else:
        pictures.append(("Forecast against truth, by ONNX Runtime", forecast(bundle)))
    return Section(
        validation=validation,
        task=bundle.manifest.task or "module",
        command=command(bundle, validation),
        kinds=kinds,
        lines=tuple(Line(row, tuple(_worst(row, kinds))) for row in validation.rows),
        pictures=tuple(pictures),
        sample=sample,
        no_sample=no_sample,
    )


def _worst(row: Row, kinds: Sequence[str]) -> Iterator[CaseRecord | None]:
    for kind in kinds:
        records = [record for record in row.cases if record.case == kind]
        yield max(records, key=share_of, default=None)
