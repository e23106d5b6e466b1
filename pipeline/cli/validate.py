"""``pipeline validate``."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.foreign import foreign, foreign_options
from pipeline.cli.listing import ListingCommand, runtimes_and_targets
from pipeline.cli.options import (
    COUNT,
    Number,
    bundles_argument,
    exported_option,
    force_option,
    json_option,
    must_have_run,
    next_command,
    section,
)
from pipeline.cli.self_test import self_test
from pipeline.cli.trust import make_trust, trust_options
from pipeline.errors import ParityError, PipelineError, unknown

if TYPE_CHECKING:
    from pipeline.bundle import Bundle
    from pipeline.embed.replay import Workshop
    from pipeline.runtimes.catalog import Runtimes
    from pipeline.validate import Validation


_comparison, _output = section("Comparison"), section("Reports")
_trial = section("Self-test of the validator")


@click.command(cls=ListingCommand, lists=runtimes_and_targets)
@bundles_argument
@_comparison(
    "--runtime",
    "runtimes",
    multiple=True,
    help="Runtime to compare, or target of embed to build and replay; both are listed below. "
    "Repeatable. It is an error if it is not installed.  [default: every runtime that is "
    "installed]",
)
@_comparison(
    "--embedded",
    is_flag=True,
    help="Build and replay every target of embed that runs here, as --runtime does.",
)
@_comparison(
    "--provider",
    "providers",
    multiple=True,
    help="Execution provider to run on: cpu, cuda, or another that ONNX Runtime offers. "
    "Repeatable. It is an error if it is not available.  [default: every provider that is "
    "available]",
)
@_comparison(
    "--time-limit",
    type=Number(min=0, min_open=True),
    default=120.0,
    help="Seconds that one call of a runtime may take. After that it counts as hanging.",
)
@_trial(
    "--self-test",
    "on_trial",
    is_flag=True,
    help="Test the validator itself: plant known faults in models and check that it finds them.",
)
@_trial(
    "--honest",
    type=COUNT,
    default=12,
    help="Number of random models without faults that --self-test checks for false alarms.",
)
@_output(
    "--details",
    is_flag=True,
    help="Print every error of every runtime and graph, in place of one number for each runtime, "
    "and what to do about what did not run.",
)
@_output(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="HTML file that the report is written to.  [default: report.html in the folder of "
    "--exported, with all validated bundles of that folder]",
)
@_output(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the results to this file as JUnit XML, one test for each case.",
)
@foreign_options
@trust_options
@exported_option
@force_option
@json_option
def validate(
    names: tuple[str, ...],
    runtimes: tuple[str, ...],
    embedded: bool,
    providers: tuple[str, ...],
    time_limit: float,
    on_trial: bool,
    honest: int,
    details: bool,
    report: Path | None,
    junit: Path | None,
    key: Path | None,
    trust_all: bool,
    exported: Path,
    force: bool,
    as_json: bool,
    **pair: Any,
) -> None:
    """Compare runtimes with PyTorch on exported models.

    All bundles are validated, or those named.

    TorchScript is code. It runs if tracing the weights of the bundle again gives the same bytes,
    if the owner of --key has signed the bundle, or with --trust. If it does not run, its row says
    why.

    \b
    pipeline validate
    pipeline validate --runtime reference
    pipeline validate sine-lstm --provider cuda
    pipeline validate sine-lstm --runtime c
    pipeline validate --self-test
    pipeline validate --junit junit.xml
    pipeline validate --torchscript a.pt --onnx b.onnx --trust
    """
    if any(pair.values()):
        trust = make_trust(key, trust_all)
        foreign(names, providers, on_trial, report, junit, trust, as_json, **pair)
        return
    if on_trial:
        self_test(honest, as_json)
        return
    from pipeline.contract import find_bundles
    from pipeline.embed.targets import RUN_HERE
    from pipeline.report.current import is_current
    from pipeline.report.output import finish
    from pipeline.report.validation_tables import matrix_table, validation_notes, validation_tables
    from pipeline.runtimes.catalog import ALL, RUNTIMES, Runtimes, known_providers, require
    from pipeline.storage import update_file

    for name in runtimes:
        if name not in RUNTIMES and name not in RUN_HERE:
            raise unknown("runtime", name, (*RUNTIMES, *RUN_HERE))
    targets = [name for name in RUN_HERE if embedded or name in runtimes]
    loaded = tuple(name for name in ALL if name in runtimes)  # the other names are targets
    require(providers, loaded)
    folders = find_bundles(exported, names, variants=True)
    chosen = loaded or (() if targets else ALL)
    places = tuple(name for name in known_providers() if name in (providers or known_providers()))
    trust = make_trust(key, trust_all)
    with ExitStack() as stack:
        opened = stack.enter_context(Runtimes(chosen, places, time_limit, trust))
        workshops = []
        if targets:
            from pipeline.embed.replay import Workshop

            workshops = [stack.enter_context(Workshop(name, trust=trust)) for name in targets]
        validated = [_validate_one(folder, opened, workshops, force) for folder in folders]
    results = [validation for _, validation in validated]
    shown = validated if report else _all_known(exported, validated)
    report = report or exported / "report.html"
    if shown and (force or not is_current(report, shown)):
        from pipeline.report.html import report_html

        update_file(report, report_html(shown))
    if junit is not None:
        from pipeline.report.junit import junit_xml

        update_file(junit, junit_xml(results))
    failed = [result.model for result in results if not result.passed]
    finish(
        as_json,
        [result.model_dump(mode="json") for result in results],
        validation_tables(results) if details else [matrix_table(results)],
        "" if failed else next_command("pipeline inspect", names),
        [*validation_notes(results, details), *([f"report: {report}"] if shown else [])],
    )
    # A runtime asked for by name must have run on each provider. Without names, every runtime of a
    # provider other than the CPU must have run if that provider was asked for.
    asked = set(providers or ("cpu",)) if runtimes else set(providers) - {"cpu"}
    rows = [row for result in results for row in result.rows]
    must_have_run(rows, asked, runtimes)
    if failed:
        raise ParityError(
            f"{', '.join(failed)}: not as PyTorch; the lines that begin with fail say why"
        )


def _all_known(
    exported: Path, validated: "Sequence[tuple[Bundle, Validation]]"
) -> "list[tuple[Bundle, Validation]]":
    """The validations of now, and the last ones of the other bundles in ``exported``.

    Bundles that were changed since are left out. Empty if no bundle of ``exported`` was validated
    now.
    """
    from pipeline.contract import find_bundles, open_bundle
    from pipeline.validate import last_validation

    now = {bundle.folder.resolve(): (bundle, found) for bundle, found in validated}
    if not any(bundle.folder.parent.resolve() == exported.resolve() for bundle, _ in validated):
        return []
    known = []
    for folder in find_bundles(exported, (), variants=True):
        if folder.resolve() in now:
            known.append(now[folder.resolve()])
            continue
        try:
            bundle = open_bundle(folder)
            bundle.verify()
        except PipelineError:  # validating that bundle reports the error
            continue
        if (found := last_validation(bundle)) is not None:
            known.append((bundle, found))
    return known


def _validate_one(
    folder: Path, runtimes: "Runtimes", workshops: "Sequence[Workshop]", force: bool
) -> "tuple[Bundle, Validation]":
    from pipeline.contract import open_bundle
    from pipeline.contract.files import MANIFEST_FILE
    from pipeline.lookup import model_name
    from pipeline.report.output import console, say
    from pipeline.storage import exclusive
    from pipeline.validate import current_validation, last_validation, marked

    with exclusive(folder):
        bundle = open_bundle(folder)
        bundle.verify()
        name = model_name(folder.resolve(), MANIFEST_FILE)
        found = None
        if workshops and not runtimes.names:  # rows of targets are added to the last validation
            found = last_validation(bundle)
        elif not force:
            found = current_validation(bundle, runtimes)
        if found is not None and not workshops:
            say(f"{name}: unchanged")
            return bundle, found
        from pipeline.validate import validate_bundle

        with console().status(f"validating {name}") as status:
            validation = found or validate_bundle(
                bundle, runtimes, lambda row: status.update(f"{row.model}: {row.runtime} done")
            )
            for workshop in workshops:
                status.update(f"{name}: building and replaying {workshop.name}")
                validation = validation.with_row(workshop.replay(bundle))
        validation = marked(validation)
        bundle.add_validation(validation)
    return bundle, validation
