"""Pictures of what exported models do, drawn from their bundles with ONNX Runtime."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pipeline.bundle import Bundle
from pipeline.errors import UsageError
from pipeline.report.samples import continue_series
from pipeline.storage import write_file
from pipeline.train.scores import FREE_RUN, TextScores

_FORMATS = ("png", "svg", "pdf")


def plot(bundles: Sequence[Bundle], path: Path) -> None:
    """Draw ``bundles`` to ``path``: forecasts against the truth, or texts against n-grams.

    Raises:
        UsageError: the ending of ``path`` is no picture format, or the bundles mix tasks.
        StorageError: the file system refused.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in _FORMATS:
        raise UsageError(f"--plot {path}: the name must end in .{', .'.join(_FORMATS)}")
    tasks = {bundle.manifest.task for bundle in bundles}
    if len(tasks) > 1:
        raise UsageError("--plot draws either series or text models; name only one kind")
    # Fixed salt and no date, so that the same bundles give the same file.
    with mpl.rc_context({"svg.hashsalt": "pipeline", "font.size": 9}):
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        if tasks == {"series"}:
            draw_forecasts(figure, bundles)
        else:
            _draw_bits(figure, bundles)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata={"Date": None} if kind == "svg" else None)
    write_file(path, buffer.getvalue())


def draw_forecasts(figure: Figure, bundles: Sequence[Bundle], ink: str = "0.35") -> None:
    """Draw what each of ``bundles`` forecasts on its own against the truth, in colour ``ink``."""
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for bundle in bundles:
        truth, forecast = continue_series(bundle, FREE_RUN)
        start = len(truth) - len(forecast)
        steps = np.arange(start, len(truth))
        above.plot(steps, forecast, label=f"{bundle.manifest.name}, free run", linewidth=1.5)
        below.plot(steps, forecast - truth[start:], linewidth=1.5)
    above.plot(truth, color=ink, linestyle=":", linewidth=2, label="truth", zorder=1)
    for axes in (above, below):
        axes.axvline(start, color="0.6", linewidth=1)
        axes.margins(x=0.01, y=0.2)
    above.set_ylabel("value, raw units")
    above.set_title("After the line every model feeds on its own forecasts", loc="left")
    above.legend(loc="lower left", ncols=4, frameon=False)
    below.set(xlabel="step of the test part", ylabel="error")


def _draw_bits(figure: Figure, bundles: Sequence[Bundle]) -> None:
    axes = figure.add_subplot()
    bits: dict[str, float] = {}
    for bundle in bundles:
        scores = bundle.manifest.training.scores
        assert isinstance(scores, TextScores)
        bits |= {f"order {order}": value for order, value in enumerate(scores.ngram_bits)}
    models = {
        bundle.manifest.name: bundle.manifest.training.scores.bits_per_character
        for bundle in bundles
        if isinstance(bundle.manifest.training.scores, TextScores)
    }
    colors = ["0.7"] * len(bits) + [f"C{index}" for index in range(len(models))]
    bars = axes.barh([*bits, *models], [*bits.values(), *models.values()], color=colors)
    axes.bar_label(bars, fmt="%.3f", padding=3)
    axes.margins(x=0.08)
    axes.invert_yaxis()
    axes.set(xlabel="bits per character, validation part (less is better)")
    axes.set_title("Recurrent networks beside n-gram models", loc="left")
