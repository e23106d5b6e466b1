"""Tables of what is known of a preset, of imported weights, of a module's states, of a bundle."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pipeline.config import Config, ImportedSource
from pipeline.contract import TextScores
from pipeline.contract.manifest import Manifest
from pipeline.report.grid import Grid

if TYPE_CHECKING:
    from pipeline.export.state import Described
    from pipeline.importer.findings import Finding


def preset_table(presets: Iterable[Config]) -> Grid:
    """The presets and their main settings."""
    table = Grid(
        "Presets",
        *("name", "cell", "hidden size", "layers", "epochs", "learning rate", "batch", "window"),
    )
    for preset in presets:
        model, training = preset.model, preset.training
        numbers = (
            model.hidden_size,
            model.num_layers,
            training.epochs,
            training.learning_rate,
            training.batch_size,
            training.window,
        )
        table.add_row(preset.name, model.cell, *map(str, numbers))
    return table


def findings_table(title: str, found: "Iterable[Finding]") -> Grid:
    """The findings about imported weights, each with the evidence for it."""
    table = Grid(title, "what")
    table.add_column("understood", "words")
    table.add_column("from", "words", style="dim")
    for finding in found:
        table.add_row(finding.what, finding.value, finding.because)
    return table


def state_table(states: "Sequence[Described]") -> Grid:
    """The states of a module: where it keeps each, and what each begins with."""
    table = Grid("States", "name")
    for column in ("kept in", "type", "shape", "begins with"):
        table.add_column(column, "words")
    for state in states:
        table.add_row(state.name, state.where, state.type, state.shape, state.initial)
    if not states:
        table.add_row("none", "every call is a whole sequence")
    return table


def manifest_table(manifest: Manifest) -> Grid:
    """The main facts of a bundle."""
    table = Grid(manifest.name, "what")
    table.add_column("value", "words")
    if manifest.module:
        table.add_row("module", manifest.module.class_name)
    else:
        table.add_row("task", str(manifest.task))
        table.add_row("model", str(manifest.model))
    table.add_row("parameters", f"{manifest.parameters:,}")
    if manifest.variant is not None:
        variant = manifest.variant
        table.add_row("variant", f"{variant.of} in {variant.weights}, rounded {variant.rounding}")
    for spec in (*manifest.inputs, *manifest.outputs):
        table.add_row(spec.name, f"{spec.typed_shape}: {spec.meaning}")
    for pair in manifest.states:
        rows = f"; rows {', '.join(pair.rows)}" if pair.rows else ""
        table.add_row("state", f"{pair.output} goes in as {pair.input}, from {pair.initial}{rows}")
    if not manifest.states:
        table.add_row("state", "none: whole sequences")
    scores = manifest.training.scores if manifest.training else None
    if isinstance(manifest.source, ImportedSource):
        table.add_row("imported from", manifest.source.file)
    if manifest.variant is not None:
        for score in manifest.variant.scores:
            found = score.of(manifest.variant.rounding)
            table.add_row(score.name, f"{found:.4g}, float32 {score.float32:.4g}")
    elif isinstance(scores, TextScores):
        table.add_row("bits per character", f"{scores.bits_per_character:.3f}")
    elif scores is not None:
        table.add_row("RMSE, one step", f"{scores.one_step.rmse:.4f}")
        if scores.free_run is not None:
            steps = scores.free_run_steps
            table.add_row(f"RMSE, {steps} steps free", f"{scores.free_run.rmse:.4f}")
    table.add_row("opset", str(manifest.opset))
    table.add_row("files", f"{len(manifest.files)}, all digests match")
    return table
