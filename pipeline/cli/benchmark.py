"""``pipeline benchmark``."""

from pathlib import Path

import click

from pipeline.cli.models import find_models
from pipeline.cli.options import exported_option, json_option


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@exported_option
@json_option
def benchmark(names: tuple[str, ...], exported: Path, as_json: bool) -> None:
    """Measure the loop inside the graph beside a loop in Python.

    Both run in turns, on the CPU with one thread; the fastest round of each counts.

    \b
    pipeline benchmark char-lstm
    """
    from pipeline.benchmark import benchmark as measure
    from pipeline.bundle import open_bundle
    from pipeline.report.output import console, finish
    from pipeline.report.tables import benchmark_table
    from pipeline.signature import MANIFEST_FILE

    folders = find_models(exported, MANIFEST_FILE, names, made_by="export")
    bundles = [open_bundle(folder) for folder in folders]
    if not names:  # all that can be measured
        bundles = [bundle for bundle in bundles if bundle.manifest.loop is not None]
    measured = []
    for bundle in bundles:
        with console().status(f"measuring {bundle.manifest.name}"):
            measured += list(measure(bundle))
    content = [{**item.model_dump(mode="json"), "ratio": item.ratio} for item in measured]
    finish(as_json, content, [benchmark_table(measured)])
