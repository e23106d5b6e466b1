"""Tables of the benchmarks' results."""

from collections.abc import Iterable, Sequence

from rich.text import Text as Styled

from pipeline.benchmark.clients import ClientTime
from pipeline.benchmark.engines import EngineTime
from pipeline.benchmark.export import ExportTime
from pipeline.benchmark.exporters import Attempt
from pipeline.benchmark.loops import Measured
from pipeline.benchmark.sequences import SequenceTime
from pipeline.benchmark.training import TrainingSpeed
from pipeline.benchmark.variants import VariantCost
from pipeline.report.grid import Grid

_GOOD = "green"


def loops_table(measured: Iterable[Measured]) -> Grid:
    """One row per model, setting and batch."""
    table = Grid("One step of all streams, microseconds", "model", keys=3)
    table.add_column("what", "name")
    for column in ("batch", "in the graph", "Python loop", "ratio"):
        table.add_column(column)
    for item in measured:
        numbers = (f"{item.graph:.1f}", f"{item.python:.1f}", f"{item.ratio:.2f}")
        table.add_row(item.model, item.what, str(item.batch), *numbers)
    return table


def clients_table(measured: Iterable[ClientTime]) -> Grid:
    """One row per model and target."""
    table = Grid("One step of one stream, the state carried", "model", keys=2)
    table.add_column("target", "name")
    table.add_column("µs")
    table.add_column("of Python's time")
    for item in measured:
        runtime = f"{item.target}, {item.runtime}"
        table.add_row(item.model, runtime, f"{item.microseconds:.3g}", f"{item.ratio:.3f}")
    return table


def engines_table(measured: Iterable[EngineTime]) -> Grid:
    """One row per cell, size and type of weights."""
    table = Grid("As many inputs as units, one output: one step, microseconds", "network", keys=2)
    table.add_column("weights", "name")
    for column in ("generated C", "ONNX Runtime, Python", "times C", "RTNeural", "times C"):
        table.add_column(column)
    for item in measured:
        name = f"{item.cell.upper()} {item.size}"
        numbers = [f"{item.c:.3f}", f"{item.onnxruntime:.1f}", f"{item.onnxruntime_ratio:.1f}"]
        if item.rtneural is not None:
            numbers += [f"{item.rtneural:.3f}", f"{item.rtneural_ratio:.2f}"]
        table.add_row(name, item.weights, *numbers)
    return table


def sequences_tables(measured: Iterable[SequenceTime]) -> Iterable[Grid]:
    """A table per cell and batch, with one row per engine."""
    tables: dict[str, Grid] = {}
    for item in measured:
        streams = f"{item.batch} stream{'' if item.batch == 1 else 's'}"
        network = f"{item.cell.upper()} {item.inputs} to {item.units}"
        title = f"{network}, {item.steps} steps, {streams}: one call, one thread"
        columns = ("engine", "µs", "of ONNX Runtime's time")
        table = tables.setdefault(title, Grid(title, *columns))
        table.add_row(item.engine, f"{item.microseconds:.0f}", f"{item.ratio:.2f}")
    return tables.values()


def variant_costs_table(measured: Iterable[VariantCost]) -> Grid:
    """One row per model, type of weights and target; bytes, and what one step takes."""
    items = list(measured)
    processors = list(dict.fromkeys(name for item in items for name in item.flash))
    table = Grid("Generated C of variants: bytes, and one step", "model", keys=3)
    for column in ("weights", "target"):
        table.add_column(column, "name")
    table.add_column("ONNX file")
    for processor in processors:
        table.add_column(f"flash, {processor}")
        table.add_column(f"RAM, {processor}")
    for column in ("µs", "instructions", "worst loss"):
        table.add_column(column)
    for item in items:
        cells = [f"{item.onnx:,}"]
        for processor in processors:
            cells += [f"{item.flash[processor]:,}", f"{item.ram[processor]:,}"]
        cells.append(f"{item.microseconds:.3g}")
        cells.append("" if item.instructions is None else f"{item.instructions:,.0f}")
        cells.append(f"{item.worst_loss:+.2%}" if item.losses else "")
        table.add_row(item.model, item.weights, item.target, *cells)
    return table


def training_table(measured: Iterable[TrainingSpeed]) -> Grid:
    """One row per model and precision."""
    table = Grid("Training: characters or steps a second, one thread", "model", keys=2)
    table.add_column("precision", "name")
    for column in ("plain loop, float32", "pipeline", "times plain"):
        table.add_column(column)
    for item in measured:
        numbers = (f"{item.plain:,.0f}", f"{item.pipeline:,.0f}", f"{item.ratio:.2f}")
        table.add_row(item.model, item.precision, *numbers)
    return table


def export_table(measured: Iterable[ExportTime]) -> Grid:
    """One row per model."""
    table = Grid("One export, seconds of processor time", "model")
    for column in ("pipeline", "torch.onnx.export", "ratio"):
        table.add_column(column)
    for item in measured:
        numbers = (f"{item.pipeline:.2f}", f"{item.torch:.2f}", f"{item.ratio:.2f}")
        table.add_row(item.model, *numbers)
    return table


def exporters_table(attempts: Sequence[Attempt]) -> Grid:
    """One row per module, one column per exporter: the verdict, and how many nodes there are."""
    exporters = list(dict.fromkeys(item.exporter for item in attempts))
    found = {(item.module, item.exporter): item for item in attempts}
    table = Grid("Verdict, and nodes of the graph", "module")
    for exporter in exporters:
        table.add_column(exporter, "name")
    for module in dict.fromkeys(item.module for item in attempts):
        table.add_row(module, *(_attempt(found[module, exporter]) for exporter in exporters))
    return table


def _attempt(item: Attempt) -> Styled:
    words = item.verdict + (f", {item.nodes}" if item.nodes is not None else "")
    stale = ", stale shapes" if item.stale else ""
    return Styled(words + stale, style=_GOOD if item.verdict == "right" and not stale else "")


def exporters_notes(attempts: Iterable[Attempt]) -> list[str]:
    """One line for every outcome with a reason."""
    return [
        f"{item.module}, {item.exporter}: {item.verdict}: {item.reason}"
        for item in attempts
        if item.reason
    ]
