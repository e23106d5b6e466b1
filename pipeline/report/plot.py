"""Pictures of exported models, run by ONNX Runtime, and of the scores of trainings."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pipeline.bundle import Bundle
from pipeline.cells import CELLS
from pipeline.checkpoint import Checkpoint
from pipeline.contract import TextScores
from pipeline.errors import UsageError
from pipeline.escaping import picture_text
from pipeline.report.picture import check_picture, picture
from pipeline.report.samples import continue_series
from pipeline.report.score_tables import score_of
from pipeline.train.scores import FREE_RUN
from pipeline.validate.free_run import why_not_free

_MARKERS = "osD^v"  # of the cells


def plot(bundles: Sequence[Bundle], path: Path) -> None:
    """Draw ``bundles`` to ``path``: forecasts against the truth, or texts against n-grams.

    Raises:
        UsageError: the ending of ``path`` is no picture format, the bundles mix tasks, or one has
            nothing to draw.
        StorageError: the file system refused.
    """
    tasks = {bundle.manifest.task or "module" for bundle in bundles}
    check_picture(path, tasks)
    for manifest in (bundle.manifest for bundle in bundles):
        if manifest.model is None or manifest.training is None:
            what = "is a module" if manifest.model is None else "was imported"
            raise UsageError(f"--plot: {manifest.name} {what} and has no data to draw; name others")
        if tasks == {"series"} and (reason := why_not_free(manifest.model)):
            raise UsageError(f"--plot: {manifest.name} cannot run free: {reason}; name others")
    with picture(path, height=4.2) as figure:
        if tasks == {"series"}:
            draw_forecasts(figure, bundles)
        else:
            _draw_bits(figure, bundles)


def plot_scores(checkpoints: Sequence[Checkpoint], path: Path) -> None:
    """Draw the scores of ``checkpoints`` to ``path``, beside baselines without a network.

    Raises:
        UsageError: the ending of ``path`` is no picture format, or the checkpoints mix tasks.
        StorageError: the file system refused.
    """
    check_picture(path, {item.config.model.task for item in checkpoints})
    scores = {item.config.name: score_of(item) for item in checkpoints}
    cells = [item.config.model.cell for item in checkpoints]
    with picture(path, height=1.4 + 0.25 * len(scores)) as figure:
        axes = figure.add_subplot()
        places = np.arange(len(scores))
        for index, cell in enumerate(CELLS):
            own = [place for place in places if cells[place] == cell]
            if own:
                values = [list(scores.values())[place] for place in own]
                marker = _MARKERS[index % len(_MARKERS)]
                axes.plot(values, own, marker, color=f"C{index}", label=cell.upper())
        for index, (name, value) in enumerate(_without_network(checkpoints[0]).items()):
            dashes = ("--", ":", "-.")[index % 3]
            axes.axvline(value, color="0.5", linestyle=dashes, linewidth=1, label=name)
        axes.set_yticks(places, list(map(picture_text, scores)))
        axes.set_ylim(len(scores) - 0.5, -0.5)
        axes.grid(axis="y", color="0.9")
        if checkpoints[0].config.model.task == "series":
            axes.set(xscale="log", xlabel="RMSE of one step, test part, raw units (less is better)")
            low, high = axes.get_xlim()
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter("{x:g}" if high < 10 * low else "")
        else:
            axes.set(xlabel="bits per character, validation part (less is better)")
        figure.legend(loc="outside upper left", ncols=6, frameon=False)


def _without_network(checkpoint: Checkpoint) -> dict[str, float]:
    """The scores of the baselines; those of 0 are left out, for the axis is logarithmic."""
    assert checkpoint.training is not None
    scores = checkpoint.training.scores
    if isinstance(scores, TextScores):
        return {"best n-gram model": min(scores.ngram_bits)}
    simple = {item.name: item.one_step.rmse for item in scores.baselines} | {
        "persistence": scores.one_step_persistence.rmse,
        "seasonal naive": scores.one_step_seasonal.rmse,
    }
    return {name: value for name, value in simple.items() if value > 0}


def draw_forecasts(figure: Figure, bundles: Sequence[Bundle], ink: str = "0.35") -> None:
    """Draw the free-running forecasts of ``bundles``, and the truth in the colour ``ink``."""
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for bundle in bundles:
        name = picture_text(bundle.manifest.name)
        truth, forecast = continue_series(bundle, FREE_RUN)
        start = len(truth) - len(forecast)
        steps = np.arange(start, len(truth))
        above.plot(steps, forecast, label=f"{name}, free run", linewidth=1.5)
        below.plot(steps, forecast - truth[start:], linewidth=1.5)
    above.plot(truth, color=ink, linestyle=":", linewidth=2, label="truth", zorder=1)
    for axes in (above, below):
        axes.axvline(start, color="0.6", linewidth=1)
        axes.margins(x=0.01, y=0.1)
    above.set_ylabel("value, raw units")
    above.set_title("After the line every model feeds on its own forecasts", loc="left")
    figure.legend(
        *above.get_legend_handles_labels(), loc="outside upper left", ncols=4, frameon=False
    )
    below.set(xlabel="step of the test part", ylabel="error")


def _draw_bits(figure: Figure, bundles: Sequence[Bundle]) -> None:
    axes = figure.add_subplot()
    bits: dict[str, float] = {}
    models: dict[str, float] = {}
    for bundle in bundles:
        training = bundle.manifest.training
        assert training is not None
        assert isinstance(training.scores, TextScores)
        bits |= {f"order {order}": value for order, value in enumerate(training.scores.ngram_bits)}
        models[bundle.manifest.name] = training.scores.bits_per_character
    colors = ["0.7"] * len(bits) + [f"C{index}" for index in range(len(models))]
    names = [*bits, *map(picture_text, models)]
    values = [*bits.values(), *models.values()]
    bars = axes.barh(np.arange(len(names)), values, color=colors, tick_label=names)
    axes.bar_label(bars, fmt="%.3f", padding=3)
    axes.margins(x=0.08)
    axes.invert_yaxis()
    axes.set(xlabel="bits per character, validation part (less is better)")
    axes.set_title("Recurrent networks beside n-gram models", loc="left")
