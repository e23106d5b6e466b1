"""``pipeline benchmark``."""

from pathlib import Path

import click
import cloup

from pipeline.cli.options import Commands, Number, bundles_argument, exported_option, json_option
from pipeline.cli.trust import make_trust, trust_options
from pipeline.errors import unknown


@click.group(cls=Commands)
def benchmark() -> None:
    """Measure side by side, in one run: what one step costs, how fast
    training and export are, and what exporters make.

    \b
    pipeline benchmark loops char-lstm
    pipeline benchmark embed sine-lstm
    pipeline benchmark sequences
    pipeline benchmark variants sine-lstm
    pipeline benchmark train char-lstm-256x2
    pipeline benchmark export char-lstm
    pipeline benchmark exporters rnn lstm
    """


@benchmark.command(cls=cloup.Command)
@bundles_argument
@exported_option
@json_option
def loops(names: tuple[str, ...], exported: Path, as_json: bool) -> None:
    """Compare the loop inside the ONNX graph with a loop in Python.

    Both run in turns, on the CPU with one thread; the fastest round of each counts.
    """
    from pipeline.benchmark.loops import benchmark as measure
    from pipeline.contract import find_bundles, open_bundle
    from pipeline.report.benchmarks import loops_table
    from pipeline.report.output import console, finish

    bundles = [open_bundle(folder) for folder in find_bundles(exported, names)]
    if not names:  # all bundles that have a graph with the loop inside
        bundles = [bundle for bundle in bundles if bundle.manifest.loop is not None]
    measured = []
    for bundle in bundles:
        with console().status(f"measuring {bundle.manifest.name}"):
            measured += list(measure(bundle))
    content = [{**item.model_dump(mode="json"), "ratio": item.ratio} for item in measured]
    finish(as_json, content, [loops_table(measured)])


@benchmark.command(cls=cloup.Command)
@bundles_argument
@click.option(
    "--target",
    "targets",
    multiple=True,
    help="Target of embed to measure. Repeatable.  [default: all targets]",
)
@click.option(
    "--rtneural",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of a clone of RTNeural, which is then measured beside the generated C.",
)
@trust_options
@exported_option
@json_option
def embed(
    names: tuple[str, ...],
    targets: tuple[str, ...],
    rtneural: Path | None,
    key: Path | None,
    trust_all: bool,
    exported: Path,
    as_json: bool,
) -> None:
    """Compare embedded clients with ONNX Runtime in Python.

    The generated C is also compared with ONNX Runtime and, if its clone is given, with RTNeural.
    All run in turns; the fastest round of each counts.
    """
    from pipeline.benchmark.clients import measure_clients
    from pipeline.benchmark.engines import measure_engines
    from pipeline.contract import find_bundles, open_bundle
    from pipeline.embed.targets import RUN_HERE
    from pipeline.report.benchmarks import clients_table, engines_table
    from pipeline.report.output import console, finish, literal

    for name in targets:
        if name not in RUN_HERE:
            raise unknown("target", name, RUN_HERE)
    bundles = [open_bundle(folder) for folder in find_bundles(exported, names)]
    trust = make_trust(key, trust_all)
    with console().status("building") as status:

        def show(words: str) -> None:
            status.update(literal(words))

        clients = list(measure_clients(bundles, targets or tuple(RUN_HERE), show, trust))
        engines = list(measure_engines(rtneural, show))
    content = {
        "clients": [{**item.model_dump(mode="json"), "ratio": item.ratio} for item in clients],
        "engines": [item.model_dump(mode="json") for item in engines],
    }
    finish(as_json, content, [clients_table(clients), engines_table(engines)])


@benchmark.command(cls=cloup.Command)
@json_option
def sequences(as_json: bool) -> None:
    """Compare whole sequences and batches in generated C with ONNX Runtime and others.

    Networks have random weights, and each engine has one thread. The others are the optional
    runtimes that are installed. All run in turns; the fastest round of each counts.
    """
    from pipeline.benchmark.sequences import measure_sequences
    from pipeline.report.benchmarks import sequences_tables
    from pipeline.report.output import console, finish, literal

    with console().status("building") as status:
        measured = list(measure_sequences(lambda words: status.update(literal(words))))
    content = [{**item.model_dump(mode="json"), "ratio": item.ratio} for item in measured]
    finish(as_json, content, sequences_tables(measured))


@benchmark.command(cls=cloup.Command)
@bundles_argument
@exported_option
@json_option
def variants(names: tuple[str, ...], exported: Path, as_json: bool) -> None:
    """Compare small weights and integers in generated C: bytes, time and loss.

    Measured are bundles and their variants, which "pipeline export NAME --weights int8" makes.
    Flash and RAM need the compiler arm-none-eabi-gcc, instructions need valgrind.
    """
    from pipeline.benchmark.footprint import ARM, VALGRIND, is_there
    from pipeline.benchmark.variants import measure_variants
    from pipeline.contract import find_bundles, open_bundle
    from pipeline.contract.files import MANIFEST_FILE
    from pipeline.lookup import variants_of
    from pipeline.report.benchmarks import variant_costs_table
    from pipeline.report.output import console, finish, literal, say

    models = [open_bundle(folder) for folder in find_bundles(exported, names)]
    if not names:  # C is generated from networks alone
        models = [bundle for bundle in models if bundle.manifest.model is not None]
    groups = [
        [
            bundle,
            *(
                open_bundle(bundle.folder.parent / name)
                for name in variants_of(bundle.folder, MANIFEST_FILE)
            ),
        ]
        for bundle in models
    ]
    with console().status("building") as status:
        found = measure_variants(groups, lambda words: status.update(literal(words)))
        costs = list(found)
    for program, package in ((ARM, "gcc-arm-none-eabi"), (VALGRIND, VALGRIND)):
        if not is_there(program):
            say(f"not measured: {program} is not there; Debian has it in {package}")
    for bundle, *others in groups:
        if not others:
            name = bundle.folder.name
            say(f"{name} has no variants; pipeline export {name} --weights int8 makes one")
    finish(as_json, [item.model_dump(mode="json") for item in costs], [variant_costs_table(costs)])


@benchmark.command(cls=cloup.Command)
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--seconds",
    type=Number(min=0),
    default=10.0,
    help="Time to measure each model and precision for.",
)
@json_option
def train(names: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """Compare training with a plain loop of PyTorch, for the presets and for a larger LSTM.

    Both take steps in turns, on the CPU with one thread, and the median step of each counts. The
    larger LSTM has two layers of 256 units and is called char-lstm-256x2.
    """
    from pipeline.benchmark.training import CONFIGS, measure_training
    from pipeline.report.benchmarks import training_table
    from pipeline.report.output import console, finish, literal

    for name in names:
        if name not in CONFIGS:
            raise unknown("model", name, CONFIGS)
    with console().status("measuring") as status:
        found = measure_training(
            names or tuple(CONFIGS), seconds, lambda words: status.update(literal(words))
        )
        speeds = list(found)
    content = [{**item.model_dump(mode="json"), "ratio": item.ratio} for item in speeds]
    finish(as_json, content, [training_table(speeds)])


@benchmark.command(cls=cloup.Command)
@click.argument("names", nargs=-1, metavar="[PRESET]...")
@json_option
def export(names: tuple[str, ...], as_json: bool) -> None:
    """Compare the time of our export with torch.onnx.export(dynamo=True), for the presets.

    Both export the same untrained networks in turns, in this process; the median of each counts.
    """
    from pipeline.benchmark.export import measure_export
    from pipeline.config import select
    from pipeline.report.benchmarks import export_table
    from pipeline.report.output import console, finish, literal

    chosen = [config.name for config in select(names, None, None)]
    with console().status("exporting") as status:
        found = measure_export(chosen, lambda words: status.update(literal(words)))
        times = list(found)
    content = [{**item.model_dump(mode="json"), "ratio": item.ratio} for item in times]
    finish(as_json, content, [export_table(times)])


@benchmark.command(cls=cloup.Command)
@click.argument("names", nargs=-1, metavar="[MODULE]...")
@click.option(
    "--exporter",
    "exporters",
    multiple=True,
    help="pipeline, torch-dynamo, torch-dynamo-axes or torch-trace. Repeatable.  "
    "[default: all of them]",
)
@click.option(
    "--time-limit",
    type=Number(min=0, min_open=True),
    default=120.0,
    help="Seconds for one export and its runs, before it counts as hanging.",
)
@json_option
def exporters(
    names: tuple[str, ...], exporters: tuple[str, ...], time_limit: float, as_json: bool
) -> None:
    """Try every exporter to ONNX on recurrent modules with dynamic sizes.

    Each file is run by ONNX Runtime at sizes that its export has not seen, and from states that are
    not zero, and compared with PyTorch.
    """
    from pipeline.benchmark.exporters import EXPORTERS, measure_exporters
    from pipeline.benchmark.exporters_modules import MODULES
    from pipeline.report.benchmarks import exporters_notes, exporters_table
    from pipeline.report.output import console, finish, literal

    for kind, given, known in (("module", names, MODULES), ("exporter", exporters, EXPORTERS)):
        for name in given:
            if name not in known:
                raise unknown(kind, name, known)
    with console().status("exporting") as status:
        found = measure_exporters(
            exporters or tuple(EXPORTERS),
            names or tuple(MODULES),
            lambda words: status.update(literal(words)),
            time_limit,
        )
        attempts = list(found)
    content = [item.model_dump(mode="json") for item in attempts]
    finish(as_json, content, [exporters_table(attempts)], notes=exporters_notes(attempts))
