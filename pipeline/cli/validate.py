"""``pipeline validate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.foreign import foreign, foreign_options
from pipeline.cli.options import exported_option, force_option, json_option, next_command
from pipeline.cli.self_test import self_test
from pipeline.errors import ParityError, UnavailableError

if TYPE_CHECKING:
    from pipeline.bundle import Bundle
    from pipeline.validate import Validation


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--provider", "providers", multiple=True, help="cpu or cuda. Repeatable; must be there."
)
@click.option("--self-test", "on_trial", is_flag=True, help="Plant faults, see if they are caught.")
@click.option(
    "--honest",
    type=click.IntRange(min=0),
    default=12,
    show_default=True,
    help="Random honest models that --self-test tries for false alarms.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the page for people goes.  [default: report.html in the folder of the bundles]",
)
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write JUnit XML, one test per case.",
)
@foreign_options
@exported_option
@force_option
@json_option
def validate(
    names: tuple[str, ...],
    providers: tuple[str, ...],
    on_trial: bool,
    honest: int,
    report: Path | None,
    junit: Path | None,
    exported: Path,
    force: bool,
    as_json: bool,
    **pair: Any,
) -> None:
    """Compare TorchScript and ONNX Runtime with PyTorch, on every provider that is there.

    \b
    pipeline validate
    pipeline validate sine-lstm --provider cuda
    pipeline validate --self-test
    pipeline validate --junit junit.xml
    pipeline validate --torchscript a.pt --onnx b.onnx --trust
    """
    if any(pair.values()):
        foreign(names, providers, on_trial, report, junit, exported, as_json, **pair)
        return
    if on_trial:
        self_test(honest, as_json)
        return
    from pipeline.bundle.manifest import MANIFEST_FILE
    from pipeline.checkpoint import find_models
    from pipeline.report.html import is_current, report_html
    from pipeline.report.junit import junit_xml
    from pipeline.report.output import finish
    from pipeline.report.tables import validation_notes, validation_table
    from pipeline.runtimes import PROVIDERS, require
    from pipeline.storage import update_file

    require(providers)
    chosen = tuple(dict.fromkeys(providers)) or PROVIDERS
    folders = find_models(exported, MANIFEST_FILE, names, made_by="export")
    validated = [_validate_one(folder, chosen, force) for folder in folders]
    results = [validation for _, validation in validated]
    report = report or exported / "report.html"
    if force or not is_current(report, validated):
        update_file(report, report_html(validated))
    if junit is not None:
        update_file(junit, junit_xml(results))
    failed = [result.model for result in results if not result.passed]
    finish(
        as_json,
        [result.model_dump(mode="json") for result in results],
        [validation_table(results)],
        "" if failed else next_command("pipeline inspect", names),
        [*validation_notes(results), f"report: {report}"],
    )
    for row in (row for result in results for row in result.rows):
        if row.provider in providers and row.status == "not run":
            raise UnavailableError(f"{row.format} did not run on '{row.provider}': {row.reason}")
    if failed:
        raise ParityError(f"{', '.join(failed)}: numbers do not match; see the rows marked fail")


def _validate_one(
    folder: Path, providers: tuple[str, ...], force: bool
) -> "tuple[Bundle, Validation]":
    from pipeline.bundle import open_bundle
    from pipeline.report.output import console, say
    from pipeline.storage import canonical_json, exclusive
    from pipeline.validate import current_validation, validate_bundle

    with exclusive(folder):
        bundle = open_bundle(folder)
        bundle.verify()
        if not force and (current := current_validation(bundle, providers)):
            say(f"{folder.name}: unchanged")
            return bundle, current
        with console().status(f"validating {folder.name}") as status:
            validation = validate_bundle(
                bundle, providers, lambda row: status.update(f"{row.model}: {row.format} done")
            )
        bundle = bundle.add_validation(canonical_json(validation.model_dump(mode="json")))
    return bundle, validation
