"""Tables of scores, validations and presets."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.text import Text as Styled

from pipeline.checkpoint import Checkpoint
from pipeline.config import Config, ImportedSource
from pipeline.contract import Errors, SeriesScores, TextScores
from pipeline.contract.manifest import Manifest
from pipeline.report.grid import Grid
from pipeline.report.matrix import matrix
from pipeline.report.remarks import remarks
from pipeline.validate import FreeRun, Row, Validation

if TYPE_CHECKING:
    from pipeline.export.state import Described
    from pipeline.importer.findings import Finding
    from pipeline.validate.self_test import Outcome

_STYLE = {"pass": "green", "fail": "bold red"}


def score_tables(checkpoints: Sequence[Checkpoint]) -> Iterable[Grid]:
    """The scores of ``checkpoints``: tables of errors and of intervals for series, one for text."""
    series = Grid(
        "Series: errors on the test part, raw units",
        *("model", "weights"),
        *(f"{name} {run}" for run in ("1 step", "free") for name in ("RMSE", "MAE", "MASE")),
    )
    text = Grid(
        "Text: the validation part",
        *("model", "weights", "bits/char", "nats", "accuracy", "best n-gram, bits/char"),
    )
    intervals = Grid(
        "Series: test part inside the intervals, 80 % is right",
        *("model", "10 % to 90 %, 1 step", "10 % to 90 %, free"),
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
            if scores.baselines or training.data_sha256 not in baselines:
                baselines[training.data_sha256] = scores
            if scores.coverage is not None:
                shares = (scores.coverage.one_step, scores.coverage.free_run)
                intervals.add_row(name, *("" if one is None else f"{one:.1%}" for one in shares))
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
            *((one.name, one.one_step, one.free_run) for one in scores.baselines),
        ):
            series.add_row(name, "", *_error_cells(one, free), style="dim")
    return [table for table in (series, intervals, text) if table.row_count]


def score_of(checkpoint: Checkpoint) -> float:
    """The score that models are compared by, the RMSE of one step or bits per character; less is
    better."""
    assert checkpoint.training is not None
    scores = checkpoint.training.scores
    return scores.one_step.rmse if isinstance(scores, SeriesScores) else scores.bits_per_character


def by_score(checkpoints: Iterable[Checkpoint]) -> list[Checkpoint]:
    """``checkpoints`` sorted by score, the best first, series before texts."""
    return sorted(checkpoints, key=lambda item: (item.config.model.task, score_of(item)))


def score_charts(checkpoints: Iterable[Checkpoint]) -> Iterable[Grid]:
    """A bar per model, in the order given: one chart for series, one for text."""
    for task, measure in (("series", "RMSE 1 step"), ("text", "bits/char")):
        scores = {
            item.config.name: score_of(item)
            for item in checkpoints
            if item.config.model.task == task
        }
        if scores:
            chart = Grid(f"{measure}: less is better", "model", measure)
            chart.add_column("", "bar")
            for name, score in scores.items():
                share = score / (max(scores.values()) or 1)
                number = f"{score:.4f}" if task == "series" else f"{score:.3f}"
                chart.add_row(name, number, str(share))
            yield chart


def _error_cells(*parts: Errors | None) -> list[str]:
    return [
        "" if part is None else f"{getattr(part, name):.4f}"
        for part in parts
        for name in ("rmse", "mae", "mase")
    ]


def validation_tables(
    validations: Sequence[Validation],
    title: str = "largest errors against the float64 twin of PyTorch",
) -> Iterable[Grid]:
    """A table per model, with a row per runtime and graph that ran; the others are in the notes."""
    for validation in validations:
        table = Grid(f"{validation.model}: {title}", "runtime")
        table.add_column("provider", "name")
        for column in ("cases", "output", "next state", "vs float32", "of tolerance", "free run"):
            table.add_column(column)
        table.add_column("result", "name")
        for row in validation.rows:
            if row.status == "not run":
                continue
            table.add_row(
                row.label,
                row.provider,
                str(row.compared),
                _error(row, row.output_error),
                _error(row, row.state_error) if row.state_error != 0 else "none",  # no state
                "" if row.replay else _error(row, row.pytorch_difference),
                "" if row.share is None else f"{row.share:.0%}",
                _way(row.free_run),
                Styled(row.status, style=_STYLE[row.status]),
            )
        yield table


def matrix_table(validations: Sequence[Validation]) -> Grid:
    """Every runtime on every model: the largest error of all its graphs, as a share of the
    tolerance."""
    models = [validation.model for validation in validations]
    table = Grid("Largest error, as a share of the tolerance", "runtime", *models, turns=True)
    for line in matrix(validations):
        pairs = zip(line.rows, validations, strict=True)
        table.add_row(line.label, *(_verdict(row, validation) for row, validation in pairs))
    return table


def _verdict(row: Row | None, validation: Validation) -> Styled:
    """The verdict on the runtime of ``row``, which may also have run a graph with the loop."""
    if row is None:
        return Styled("–")
    place = (row.runtime, row.provider)
    rows = [other for other in validation.rows if (other.runtime, other.provider) == place]
    ran = [other for other in rows if other.status != "not run"]
    status = "fail" if any(other.status == "fail" for other in ran) else "pass"
    shares = [other.share for other in ran if other.share is not None]
    share = f"{max(shares):.0%}" if len(shares) == len(ran) else "∞"
    return Styled(f"{'✓' if status == 'pass' else '✗'} {share}", style=_STYLE[status])


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


def validation_notes(validations: Sequence[Validation], details: bool = False) -> list[str]:
    """One line for each remark on ``validations``, with its models.

    What did not run is one line, unless ``details`` are asked for, which also tell of free runs.
    """
    lines: list[str] = []
    reasons: dict[str, list[str]] = {}
    for one in remarks(validations, free_runs=details):
        of = f" ({', '.join(one.models)})" if len(one.models) < len(validations) else ""
        if one.kind == "not run" and not details:
            place = one.runtime if one.provider == "cpu" else f"{one.runtime} on {one.provider}"
            reasons.setdefault(one.text.partition(";")[0], []).append(place + of)
        else:
            lines.append(f"{one.kind}: {one.runtime} on {one.provider}{of}: {one.text}")
    if reasons:
        parts = [f"{', '.join(places)}: {reason}" for reason, places in reasons.items()]
        lines.append(f"not run: {'; '.join(parts)}. --details says what to do")
    return lines


def fault_table(outcomes: "Sequence[Outcome]") -> Grid:
    """Planted faults by model: caught, missed, or a dash if the fault does not apply."""
    models = list(dict.fromkeys(item.model for item in outcomes if item.fault))
    table = Grid("Planted faults", "fault", *models)
    words = {"does not apply": "-", "caught": "caught", "missed": "MISSED"}
    found = {(item.fault, item.model): words[item.status] for item in outcomes if item.fault}
    for fault in dict.fromkeys(item.fault for item in outcomes if item.fault):
        table.add_row(fault, *(found[fault, model] for model in models))
    return table


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
    table = Grid("state", "name")
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
    if manifest.variant is not None:
        for score in manifest.variant.scores:
            found = getattr(score, manifest.variant.rounding)
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
