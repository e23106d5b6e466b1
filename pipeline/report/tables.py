"""Tables of scores, validations and presets."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text as Styled

from pipeline.checkpoint import Checkpoint
from pipeline.config import Config, ImportedSource
from pipeline.contract import Errors, SeriesScores, TextScores
from pipeline.contract.manifest import Manifest
from pipeline.report.matrix import matrix
from pipeline.report.remarks import remarks
from pipeline.validate import FreeRun, Row, Validation

if TYPE_CHECKING:
    from pipeline.export.state import Described
    from pipeline.importer.findings import Finding
    from pipeline.validate.self_test import Outcome

_BAR = 40  # columns of the longest bar
_STYLE = {"pass": "green", "fail": "bold red"}


def plain_table(title: str, *columns: str) -> Table:
    """A table whose first column holds names, and the others numbers, aligned right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", overflow="fold")
    return table


def score_tables(checkpoints: Sequence[Checkpoint]) -> Iterable[Table]:
    """The scores of ``checkpoints``: one table for series, one for text."""
    series = plain_table(
        "Series: errors on the test part, raw units",
        *("model", "weights", "RMSE 1 step", "MAE", "MASE", "RMSE free", "MAE", "MASE"),
    )
    text = plain_table(
        "Text: the validation part",
        *("model", "weights", "bits/char", "nats", "accuracy", "best n-gram, bits/char"),
    )
    baselines: dict[str, SeriesScores] = {}
    for item in checkpoints:
        name, parameters, training = item.config.name, f"{item.parameters:,}", item.training
        if training is None:
            continue
        scores = training.scores
        if isinstance(scores, SeriesScores):
            cells = _error_cells(scores.one_step, scores.free_run)
            series.add_row(name, parameters, *cells)
            baselines[training.data_sha256] = scores
        else:
            best = min(scores.ngram_bits)
            text.add_row(
                name,
                parameters,
                f"{scores.bits_per_character:.3f}",
                f"{scores.loss:.3f}",
                f"{scores.accuracy:.1%}",
                f"{best:.3f} (order {scores.ngram_bits.index(best)})",
            )
    for scores in baselines.values():
        for name, one, free in (
            ("persistence", scores.one_step_persistence, scores.free_run_persistence),
            ("seasonal naive", scores.one_step_seasonal, scores.free_run_seasonal),
        ):
            series.add_row(name, "", *_error_cells(one, free), style="dim")
    return [table for table in (series, text) if table.row_count]


def score_of(checkpoint: Checkpoint) -> float:
    """The score that models are compared by, the RMSE of one step or bits per character; less is
    better."""
    assert checkpoint.training is not None
    scores = checkpoint.training.scores
    return scores.one_step.rmse if isinstance(scores, SeriesScores) else scores.bits_per_character


def by_score(checkpoints: Iterable[Checkpoint]) -> list[Checkpoint]:
    """``checkpoints`` sorted by score, the best first, series before texts."""
    return sorted(checkpoints, key=lambda item: (item.config.model.task, score_of(item)))


def score_charts(checkpoints: Iterable[Checkpoint]) -> Iterable[Table]:
    """A bar per model, in the order given: one chart for series, one for text."""
    for task, measure in (("series", "RMSE 1 step"), ("text", "bits/char")):
        scores = {
            item.config.name: score_of(item)
            for item in checkpoints
            if item.config.model.task == task
        }
        if scores:
            chart = plain_table(f"{measure}: less is better", "model", measure)
            chart.add_column("")
            for name, score in scores.items():
                bar = ProgressBar(total=max(scores.values()) or 1, completed=score, width=_BAR)
                chart.add_row(name, f"{score:.4f}" if task == "series" else f"{score:.3f}", bar)
            yield chart


def _error_cells(*parts: Errors | None) -> list[str]:
    return [
        "" if part is None else f"{getattr(part, name):.4f}"
        for part in parts
        for name in ("rmse", "mae", "mase")
    ]


def validation_table(
    validations: Sequence[Validation],
    title: str = "Validation: largest errors against the float64 twin of PyTorch",
) -> Table:
    """One row per model, runtime and provider that ran; the others are in the notes."""
    table = plain_table(title, "model")
    for column in ("runtime", "provider"):
        table.add_column(column)
    for column in ("cases", "output", "next_state", "vs float32", "of tolerance", "free run"):
        table.add_column(column, justify="right")
    table.add_column("result")
    for validation in validations:
        for row in validation.rows:
            if row.status == "not run":
                continue
            table.add_row(
                row.model if row.graph == "model" else f"{row.model}, {row.graph}",
                row.runtime,
                row.provider,
                str(row.compared),
                _error(row, row.output_error),
                _error(row, row.state_error) if row.state_error != 0 else "none",  # no state
                "" if row.replay else _error(row, row.pytorch_difference),
                "" if row.share is None else f"{row.share:.0%}",
                _way(row.free_run),
                Styled(row.status, style=_STYLE[row.status]),
            )
    return table


def matrix_table(validations: Sequence[Validation]) -> Table:
    """Every runtime on every model: the largest error as a share of the tolerance."""
    table = plain_table(
        "Largest error, of the tolerance", "runtime", *(v.model for v in validations)
    )
    for line in matrix(validations):
        table.add_row(line.label, *map(_verdict, line.rows))
    return table


def _verdict(row: Row | None) -> Styled:
    if row is None:
        return Styled("–")
    share = "∞" if row.share is None else f"{row.share:.0%}"
    return Styled(f"{'✓' if row.status == 'pass' else '✗'} {share}", style=_STYLE[row.status])


def _error(row: Row, value: float | None) -> str:
    if value is not None:
        return f"{value:.1e}"
    return "∞" if row.compared else ""


def _way(found: FreeRun | None) -> str:
    """The number of steps in which a free run agreed with PyTorch."""
    if found is None:
        return ""
    if found.first_difference is None:
        return f"{found.steps} steps"
    return f"{found.first_difference} steps" + (", tie" if found.tie else "")


def validation_notes(validations: Sequence[Validation]) -> list[str]:
    """One line for each remark on ``validations``, with its models."""
    return [
        f"{one.kind}: {one.runtime} on {one.provider} ({', '.join(one.models)}): {one.text}"
        for one in remarks(validations)
    ]


def fault_table(outcomes: "Sequence[Outcome]") -> Table:
    """Planted faults by model: caught, missed, or a dash if the fault does not apply."""
    models = list(dict.fromkeys(item.model for item in outcomes if item.fault))
    table = plain_table("Planted faults", "fault", *models)
    words = {"does not apply": "-", "caught": "caught", "missed": "MISSED"}
    found = {(item.fault, item.model): words[item.status] for item in outcomes if item.fault}
    for fault in dict.fromkeys(item.fault for item in outcomes if item.fault):
        table.add_row(fault, *(found[fault, model] for model in models))
    return table


def preset_table(presets: Iterable[Config]) -> Table:
    """The presets and their main settings."""
    table = plain_table(
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


def findings_table(title: str, found: "Iterable[Finding]") -> Table:
    """The findings about imported weights, each with the evidence for it."""
    table = plain_table(title, "what")
    table.add_column("understood", overflow="fold")
    table.add_column("from", overflow="fold", style="dim")
    for finding in found:
        table.add_row(finding.what, finding.value, finding.because)
    return table


def state_table(states: "Sequence[Described]") -> Table:
    """The states of a module: where it keeps each, and what each begins with."""
    table = plain_table("state", "name")
    for column in ("kept in", "type", "shape", "begins with"):
        table.add_column(column, overflow="fold")
    for state in states:
        table.add_row(state.name, state.where, state.type, state.shape, state.initial)
    if not states:
        table.add_row("none", "every call is a whole sequence")
    return table


def manifest_table(manifest: Manifest) -> Table:
    """The main facts of a bundle."""
    table = plain_table(manifest.name, "what")
    table.add_column("value", overflow="fold")
    if manifest.module:
        table.add_row("module", manifest.module.class_name)
    else:
        table.add_row("task", manifest.task)
        table.add_row("model", str(manifest.model))
    table.add_row("parameters", f"{manifest.parameters:,}")
    for spec in (*manifest.inputs, *manifest.outputs):
        shape = ", ".join(map(str, spec.shape))
        table.add_row(spec.name, f"{spec.type} [{shape}]: {spec.meaning}")
    for pair in manifest.states:
        rows = f"; rows {', '.join(pair.rows)}" if pair.rows else ""
        table.add_row("state", f"{pair.output} goes in as {pair.input}, from {pair.initial}{rows}")
    if not manifest.states:
        table.add_row("state", "none: whole sequences")
    scores = manifest.training.scores if manifest.training else None
    if isinstance(manifest.source, ImportedSource):
        table.add_row("imported from", manifest.source.file)
    if isinstance(scores, TextScores):
        table.add_row("bits per character", f"{scores.bits_per_character:.3f}")
    elif scores is not None:
        table.add_row("RMSE, one step", f"{scores.one_step.rmse:.4f}")
        if scores.free_run is not None:
            steps = scores.free_run_steps
            table.add_row(f"RMSE, {steps} steps free", f"{scores.free_run.rmse:.4f}")
    table.add_row("opset", str(manifest.opset))
    table.add_row("files", f"{len(manifest.files)}, all digests match")
    return table
