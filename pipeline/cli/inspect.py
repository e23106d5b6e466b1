"""``pipeline inspect`` and ``pipeline presets``, which show things and change nothing."""

from pathlib import Path

import click
import cloup

from pipeline.cli.options import PATH, bundles_argument, exported_option, json_option


@click.command(cls=cloup.Command)
@bundles_argument
@click.option(
    "--plot",
    "picture",
    type=PATH,
    help="Draw forecasts against the truth, or the scores of texts, into this file, which ends "
    "in .png, .svg or .pdf.",
)
@exported_option
@json_option
def inspect(names: tuple[str, ...], picture: Path | None, exported: Path, as_json: bool) -> None:
    """Check the digests of bundles and show their manifests.

    All bundles are inspected, or those named.

    \b
    pipeline inspect sine-lstm
    pipeline inspect sine-rnn sine-lstm --plot forecast.svg
    """
    from pipeline.contract import find_bundles, open_bundle
    from pipeline.report.fact_tables import manifest_table
    from pipeline.report.output import finish, say
    from pipeline.validate.records import read_validation

    bundles = [open_bundle(folder) for folder in find_bundles(exported, names, variants=True)]
    for bundle in bundles:
        bundle.verify()
        read_validation(bundle)
    if picture is not None:
        from pipeline.report.plot import plot

        plot(bundles, picture)
        say(f"drawn: {picture}")
    manifests = [bundle.manifest for bundle in bundles]
    finish(
        as_json,
        [manifest.model_dump(mode="json") for manifest in manifests],
        [manifest_table(manifest) for manifest in manifests],
    )


@click.command(cls=cloup.Command)
@json_option
def presets(as_json: bool) -> None:
    """Show the presets that train starts from."""
    from pipeline.config import PRESETS
    from pipeline.report.fact_tables import preset_table
    from pipeline.report.output import finish

    content = [preset.model_dump(mode="json") for preset in PRESETS.values()]
    finish(as_json, content, [preset_table(PRESETS.values())], "pipeline train")
