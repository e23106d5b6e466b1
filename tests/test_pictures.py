"""Pictures in files: what they show, and that legends and labels lie on nothing."""

from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib.dates
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

import pipeline
from pipeline.bundle import Bundle
from pipeline.checkpoint import read_checkpoint
from pipeline.report.plot import plot, plot_scores
from pipeline.run.chart import draw
from pipeline.run.frame import read_frame
from pipeline.run.history import DataSource
from pipeline.run.series import forecast

SINE, CHAR = ("sine-rnn", "sine-lstm"), ("char-rnn", "char-gru")
Bundles = Callable[[str], Bundle]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are written to files, in their order."""
    written: list[Figure] = []
    save = Figure.savefig

    def watch(self: Figure, *given: Any, **options: Any) -> None:
        written.append(self)
        save(self, *given, **options)

    monkeypatch.setattr(Figure, "savefig", watch)
    return written


def labels(axes: Axes) -> Iterator[Any]:
    """Everything that is written in and around ``axes``."""
    low, high = sorted(axes.get_xlim())
    shared = zip(axes.get_xticks(), axes.get_xticklabels(), strict=False)  # maybe without labels
    for place, label in shared:
        if low <= place <= high:
            yield label
    yield from (axes.xaxis.get_label(), axes.yaxis.get_label(), axes.xaxis.offsetText)
    yield from (child for child in axes.get_children() if isinstance(child, Text))


def assert_nothing_overlaps(figure: Figure) -> None:
    FigureCanvasAgg(figure).draw()
    assert all(axes.get_legend() is None for axes in figure.axes)
    shown = [label for axes in figure.axes for label in labels(axes)]
    shown = [label for label in shown if label.get_visible() and label.get_text()]
    assert len(shown) >= 3
    for one, other in combinations([*shown, *figure.legends], 2):
        boxes = (artist.get_window_extent() for artist in (one, other))
        assert not next(boxes).overlaps(next(boxes)), (one, other)
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert not [axes for axes in figure.axes if box.overlaps(axes.get_window_extent())]
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_forecasts_are_drawn_after_the_truth_that_was_read(
    tiny_bundle: Bundles, figures: list[Figure], tmp_path: Path
) -> None:
    plot([tiny_bundle(name) for name in SINE], tmp_path / "forecast.png")
    (figure,) = figures
    above, below = figure.axes
    data = tiny_bundle(SINE[0]).task_data()[:, 0]
    *models, truth = [line for line in above.lines if len(np.asarray(line.get_xdata())) > 2]
    drawn = np.asarray(truth.get_ydata())
    assert drawn.tolist() == data[: len(drawn)].tolist()
    assert [line.get_label() for line in models] == [f"{name}, free run" for name in SINE]
    for line, error in zip(models, below.lines, strict=False):
        steps = np.asarray(line.get_xdata())
        assert steps[-1] == len(drawn) - 1
        off = np.asarray(line.get_ydata()) - drawn[steps]
        assert np.asarray(error.get_ydata()).tolist() == off.tolist()
    assert_nothing_overlaps(figure)


def test_texts_are_drawn_as_bars_beside_the_n_grams(
    tiny_bundle: Bundles, figures: list[Figure], tmp_path: Path
) -> None:
    bundles = [tiny_bundle(name) for name in CHAR]
    plot(bundles, tmp_path / "bits.svg")
    (axes,) = figures[0].axes
    trainings = [bundle.manifest.training for bundle in bundles]
    own: list[float] = [one.scores.bits_per_character for one in trainings]  # type: ignore
    assert [bar.get_width() for bar in axes.patches][-2:] == own  # type: ignore[attr-defined]
    assert [label.get_text() for label in axes.get_yticklabels()][-2:] == list(CHAR)
    assert_nothing_overlaps(figures[0])


@pytest.mark.parametrize("names", [SINE, CHAR], ids=["series", "text"])
def test_scores_are_drawn_with_their_legend_above(
    tiny_checkpoint: Callable[[str], Path],
    figures: list[Figure],
    tmp_path: Path,
    names: tuple[str, ...],
) -> None:
    checkpoints = [read_checkpoint(tiny_checkpoint(name)) for name in names]
    plot_scores(checkpoints, tmp_path / "scores.pdf")
    (axes,) = figures[0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(names)
    assert_nothing_overlaps(figures[0])


def drawn_after(
    frame: pd.DataFrame | np.ndarray[Any, Any], folder: Path, path: Path
) -> tuple[Any, pd.DataFrame]:
    """What is drawn of 12 steps after ``frame``, and the frame that Python gets of them."""
    bundle = pipeline.load(folder)
    history, _ = read_frame(frame, DataSource.of(bundle.manifest), 1)
    rng = np.random.default_rng(1)
    made = forecast(bundle.loop_graph, history, 12, 5, rng)
    draw(made, "sine-gru", path)
    return made, bundle.forecast(frame, 12)


@pytest.mark.parametrize("step", ["D", "h", "MS"])
def test_a_dated_history_goes_on_over_dates(
    tiny_bundle: Bundles, figures: list[Figure], tmp_path: Path, step: str
) -> None:
    dates = pd.date_range("2024-01-01", periods=90, freq=step, name="day of $x$")
    frame = pd.DataFrame({"value": np.sin(np.arange(90) / 5)}, index=dates)
    made, table = drawn_after(frame, tiny_bundle("sine-gru").folder, tmp_path / "fan.png")
    (axes,) = figures[0].axes
    past, ahead = axes.lines[:2]
    assert pd.DatetimeIndex(past.get_xdata(orig=True)).equals(dates[-60:].rename(None))
    after = pd.DatetimeIndex(ahead.get_xdata(orig=True))
    assert after[0] == dates[-1]
    assert list(after[1:]) == list(table.index)
    assert np.asarray(ahead.get_ydata())[1:].tolist() == made.values[:, 0].tolist()
    assert axes.get_xlabel() == "day of $x$"
    assert isinstance(axes.xaxis.get_major_formatter(), matplotlib.dates.ConciseDateFormatter)
    assert_nothing_overlaps(figures[0])


def test_dates_of_a_zone_are_those_of_its_clocks(
    tiny_bundle: Bundles, figures: list[Figure], tmp_path: Path
) -> None:
    dates = pd.date_range("2024-03-29", periods=40, freq="D", tz="Europe/Vienna")  # summer begins
    frame = pd.DataFrame({"value": np.sin(np.arange(40) / 5)}, index=dates)
    drawn_after(frame, tiny_bundle("sine-gru").folder, tmp_path / "fan.png")
    past, ahead = figures[0].axes[0].lines[:2]
    for line in (past, ahead):
        hours = pd.DatetimeIndex(line.get_xdata(orig=True)).hour
        assert set(hours) == {0}


def test_a_history_without_dates_counts_steps(
    tiny_bundle: Bundles, figures: list[Figure], tmp_path: Path
) -> None:
    wave = np.sin(np.arange(90) / 5)
    drawn_after(wave, tiny_bundle("sine-gru").folder, tmp_path / "fan.png")
    (axes,) = figures[0].axes
    past, ahead = (np.asarray(line.get_xdata()).tolist() for line in axes.lines[:2])
    assert (past, ahead) == ([*range(-59, 1)], [*range(13)])
    assert axes.get_xlabel() == "steps after the history"
    assert_nothing_overlaps(figures[0])
