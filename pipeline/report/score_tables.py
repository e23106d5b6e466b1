"""Tables and charts of the scores of trainings, and the score that models are compared by."""

from collections.abc import Iterable, Sequence

from pipeline.checkpoint import Checkpoint
from pipeline.contract import Errors, SeriesScores
from pipeline.report.grid import Grid


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
