"""``pipeline validate``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import exported_option, force_option, json_option, next_command
from pipeline.errors import ParityError, UnavailableError

if TYPE_CHECKING:
    from pipeline.validate import Validation


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--provider", "providers", multiple=True, help="cpu or cuda. Repeatable; must be there."
)
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    help="pytorch, torchscript, onnxruntime, reference, openvino or tract. Repeatable; must be "
    "there. Default: all that are.",
)
@exported_option
@force_option
@json_option
def validate(
    names: tuple[str, ...],
    providers: tuple[str, ...],
    runtimes: tuple[str, ...],
    exported: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Compare every runtime with PyTorch, on every provider that is there.

    \b
    pipeline validate
    pipeline validate sine-lstm --provider cuda
    pipeline validate --runtime onnxruntime --runtime tract
    """
    from pipeline.bundle.manifest import MANIFEST_FILE
    from pipeline.checkpoint import find_models
    from pipeline.report.output import finish
    from pipeline.report.tables import validation_notes, validation_table
    from pipeline.runtimes import ALL, PROVIDERS, require

    require(providers, runtimes)
    chosen = tuple(dict.fromkeys(providers)) or PROVIDERS
    chosen_runtimes = tuple(name for name in ALL if not runtimes or name in runtimes)
    folders = find_models(exported, MANIFEST_FILE, names, made_by="export")
    results = [_validate_one(folder, chosen, chosen_runtimes, force) for folder in folders]
    failed = [result.model for result in results if not result.passed]
    finish(
        as_json,
        [result.model_dump(mode="json") for result in results],
        [validation_table(results)],
        "" if failed else next_command("pipeline inspect", names),
        validation_notes(results),
    )
    # A runtime is asked for by its own name; a provider other than the CPU asks for all it has.
    asked = set(providers or ("cpu",)) if runtimes else set(providers) - {"cpu"}
    for row in (row for result in results for row in result.rows):
        if row.provider in asked and row.status == "not run":
            raise UnavailableError(f"{row.runtime} did not run on '{row.provider}': {row.reason}")
    if failed:
        raise ParityError(f"{', '.join(failed)}: numbers do not match; see the rows marked fail")


def _validate_one(
    folder: Path, providers: tuple[str, ...], runtimes: tuple[str, ...], force: bool
) -> "Validation":
    from pipeline.bundle import open_bundle
    from pipeline.report.output import console, say
    from pipeline.storage import canonical_json, exclusive
    from pipeline.validate import current_validation, validate_bundle

    with exclusive(folder):
        bundle = open_bundle(folder)
        bundle.verify()
        if not force and (current := current_validation(bundle, providers, runtimes)):
            say(f"{folder.name}: unchanged")
            return current
        with console().status(f"validating {folder.name}") as status:
            validation = validate_bundle(
                bundle,
                providers,
                lambda row: status.update(f"{row.model}: {row.runtime} done"),
                runtimes,
            )
        bundle.add_validation(canonical_json(validation.model_dump(mode="json")))
    return validation
