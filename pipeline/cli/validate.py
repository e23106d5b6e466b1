"""``pipeline validate``."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.foreign import foreign, foreign_options
from pipeline.cli.listing import ListingCommand, runtimes_and_targets
from pipeline.cli.options import (
    exported_option,
    force_option,
    json_option,
    must_have_run,
    next_command,
)
from pipeline.cli.self_test import self_test
from pipeline.cli.trust import make_trust, trust_options
from pipeline.errors import ParityError, PipelineError, unknown
from pipeline.lookup import find_models

if TYPE_CHECKING:
    from pipeline.bundle import Bundle
    from pipeline.embed.replay import Workshop
    from pipeline.runtimes.catalog import Runtimes
    from pipeline.validate import Validation


@click.command(cls=ListingCommand, lists=runtimes_and_targets)
@click.argument("names", nargs=-1, metavar="[NAME|PATH]...")
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    help="A runtime, or a target of embed, whose row is added to those that are there; both are "
    "listed below. Repeatable; must be there.  [default: every runtime that is]",
)
@click.option("--embedded", is_flag=True, help="Every target of embed.")
@click.option(
    "--provider",
    "providers",
    multiple=True,
    help="cpu, cuda, or another that ONNX Runtime offers. Repeatable; must be there.  "
    "[default: every one that is]",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="Seconds for one call of a runtime, before it counts as hanging.",
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
    help="Where the page for people goes.  [default: report.html in --exported, with all bundles "
    "there that were validated]",
)
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write JUnit XML, one test per case.",
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
    report: Path | None,
    junit: Path | None,
    key: Path | None,
    trust_all: bool,
    exported: Path,
    force: bool,
    as_json: bool,
    **pair: Any,
) -> None:
    """Compare runtimes with PyTorch, every one that is there on every provider that is there.

    TorchScript is code. It runs where tracing the weights of the bundle gives the same bytes, where
    the owner of --key has signed the bundle, or with --trust; elsewhere its row says why not.

    \b
    pipeline validate
    pipeline validate --runtime onnxruntime --runtime reference
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
    from pipeline.embed.targets import TARGETS
    from pipeline.report.current import is_current
    from pipeline.report.output import finish
    from pipeline.report.tables import matrix_table, validation_notes, validation_table
    from pipeline.runtimes.catalog import ALL, RUNTIMES, Runtimes, known_providers, require
    from pipeline.signature import MANIFEST_FILE
    from pipeline.storage import update_file

    for name in runtimes:
        if name not in RUNTIMES and name not in TARGETS:
            raise unknown("runtime", name, (*RUNTIMES, *TARGETS))
    targets = [name for name in TARGETS if embedded or name in runtimes]
    loaded = tuple(name for name in ALL if name in runtimes)  # the others are built
    require(providers, loaded)
    folders = find_models(exported, MANIFEST_FILE, names, made_by="export")
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
        [validation_table(results), *([matrix_table(results)] if targets else [])],
        "" if failed else next_command("pipeline inspect", names),
        [*validation_notes(results), *([f"report: {report}"] if shown else [])],
    )
    # A runtime is asked for by its own name; a provider other than the CPU asks for all it has.
    asked = set(providers or ("cpu",)) if runtimes else set(providers) - {"cpu"}
    rows = [row for result in results for row in result.rows]
    must_have_run(rows, asked, runtimes)
    if failed:
        raise ParityError(f"{', '.join(failed)}: not as PyTorch; see the rows marked fail")


def _all_known(
    exported: Path, validated: "Sequence[tuple[Bundle, Validation]]"
) -> "list[tuple[Bundle, Validation]]":
    """What was found now and, of the other bundles in the folder, before; none that was changed.

    Nothing if no bundle of the folder was validated now.
    """
    from pipeline.contract import open_bundle
    from pipeline.signature import MANIFEST_FILE
    from pipeline.validate import last_validation

    now = {bundle.folder.resolve(): (bundle, found) for bundle, found in validated}
    if not any(bundle.folder.parent.resolve() == exported.resolve() for bundle, _ in validated):
        return []
    known = []
    for folder in find_models(exported, MANIFEST_FILE, (), made_by="export"):
        if folder.resolve() in now:
            known.append(now[folder.resolve()])
            continue
        try:
            bundle = open_bundle(folder)
            bundle.verify()
        except PipelineError:  # a validation of its own will say why
            continue
        if (found := last_validation(bundle)) is not None:
            known.append((bundle, found))
    return known


def _validate_one(
    folder: Path, runtimes: "Runtimes", workshops: "Sequence[Workshop]", force: bool
) -> "tuple[Bundle, Validation]":
    from pipeline.contract import open_bundle
    from pipeline.report.output import console, say
    from pipeline.storage import exclusive
    from pipeline.validate import current_validation, last_validation, marked

    with exclusive(folder):
        bundle = open_bundle(folder)
        bundle.verify()
        found = None
        if workshops and not runtimes.names:  # their rows are added to what was found before
            found = last_validation(bundle)
        elif not force:
            found = current_validation(bundle, runtimes)
        if found is not None and not workshops:
            say(f"{folder.name}: unchanged")
            return bundle, found
        from pipeline.validate import validate_bundle

        with console().status(f"validating {folder.name}") as status:
            validation = found or validate_bundle(
                bundle, runtimes, lambda row: status.update(f"{row.model}: {row.runtime} done")
            )
            for workshop in workshops:
                status.update(f"{folder.name}: building and replaying {workshop.name}")
                validation = validation.with_row(workshop.replay(bundle))
        validation = marked(validation)
        bundle.add_validation(validation)
    return bundle, validation
