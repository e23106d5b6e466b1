"""Charts of a forecast after the end of its history, in a file or in the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from numpy.typing import NDArray
from rich.text import Text

from pipeline.data.clock import time_texts
from pipeline.escaping import picture_text, visible
from pipeline.report.picture import picture
from pipeline.run.series import Forecast

_SHOWN = 3  # steps of history that are shown for each step of the forecast
_AT_LEAST = 60  # least number of steps of history that are shown, if there are so many
_STEPS = "steps after the history"
_ROWS = 10  # rows of characters in the terminal; each is two dots high
_HISTORY, _FORECAST, _BAND = "bright_black", "cyan", "blue"


def _tail(forecast: Forecast) -> NDArray[np.float32]:
    """The end of the history that is shown, ``[time, targets]``."""
    return forecast.history.values[-max(_SHOWN * len(forecast.values), _AT_LEAST) :]


def draw(forecast: Forecast, name: str, path: Path) -> None:
    """Draw a fan chart of every target to ``path``, over the dates that its history has.

    Raises:
        StorageError: the file system refused.
    """
    tail, quantiles = _tail(forecast), forecast.quantiles
    past, ahead, label_of_times = _places(forecast, len(tail))
    with picture(path, height=0.8 + 2.6 * len(forecast.columns)) as figure:
        rows = figure.subplots(len(forecast.columns), 1, sharex=True, squeeze=False)[:, 0]
        for column, (axes, label) in enumerate(zip(rows, forecast.columns, strict=True)):
            last = tail[-1:, column]
            axes.plot(past, tail[:, column], color="0.35", linewidth=1.5, label="history")
            line = np.concatenate([last, forecast.values[:, column]])
            axes.plot(ahead, line, color="C0", linewidth=1.5, label="forecast")
            if quantiles is not None:
                low, middle, high = (np.concatenate([last, q[:, column]]) for q in quantiles)
                axes.fill_between(
                    ahead, low, high, color="C0", alpha=0.2, linewidth=0, label="10 % to 90 %"
                )
                axes.plot(ahead, middle, color="C0", linestyle=":", linewidth=1.5, label="50 %")
            axes.axvline(past[-1], color="0.6", linewidth=1)
            axes.margins(x=0.01, y=0.1)
            axes.set_ylabel(f"{picture_text(label)}, raw units")
        rows[0].set_title(picture_text(name), loc="left")
        lines = rows[0].get_legend_handles_labels()
        figure.legend(*lines, loc="outside upper right", ncols=4, frameon=False)
        if isinstance(forecast.times, pd.DatetimeIndex):
            locator = AutoDateLocator()
            rows[-1].xaxis.set_major_locator(locator)
            rows[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
        rows[-1].set(xlabel=label_of_times)


def _places(forecast: Forecast, shown: int) -> tuple[Any, Any, str]:
    """Where the last ``shown`` steps of the history, and it with all steps that follow, are drawn.

    These are their times, if there are any, or else their numbers after the history. The label of
    such an axis comes last.
    """
    times = _times(forecast, shown)
    if times is None:
        return np.arange(1 - shown, 1), np.arange(len(forecast.values) + 1), _STEPS
    label = picture_text(forecast.history.time or "")
    return times[:shown].to_numpy(), times[shown - 1 :].to_numpy(), label


def _times(forecast: Forecast, shown: int) -> pd.Index | None:
    """The times of the last ``shown`` steps of the history and of the forecast, if there are any.

    Dates are as clocks of the history's zone show them.
    """
    times, ahead = forecast.history.times, forecast.times
    if times is None:
        return None
    if isinstance(ahead, pd.DatetimeIndex) and ahead.tz is not None:
        ahead = ahead.tz_convert(times.zone).tz_localize(None)
    return times.index[-shown:].append(ahead)


def terminal_chart(forecast: Forecast, column: int, width: int) -> Text:
    """One target as a line of half blocks, ``width`` characters wide, with a shaded quantile band.

    If there are more steps than columns of characters, a column shows the mean of several steps.
    The ticks below name the first step of their columns: by its time, or by its number, of
    which 1 is the first of the forecast.
    """
    tail = _tail(forecast)[:, column].astype(float)
    made = forecast.values[:, column].astype(float)
    band = forecast.quantiles
    edges = [made, made] if band is None else [band[0][:, column], band[2][:, column]]
    everything = np.concatenate([tail, made, *edges])
    top, bottom = everything.max(), everything.min()
    labels = [f"{value:.5g}" for value in (top, bottom)]
    margin = max(map(len, labels))
    places = max(width - margin - 3, 2)
    squeeze = min(1.0, places / (len(tail) + len(made)))
    ahead = min(len(made), max(1, round(len(made) * squeeze)), places - 1)
    past = min(len(tail), places - ahead)

    def heights(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
        """Dots above the bottom, of ``values`` averaged into ``count`` columns."""
        parts = np.array_split(values, count) if count else []
        means = np.array([part.mean() for part in parts])
        dots: NDArray[np.float64] = (means - bottom) / ((top - bottom) or 1) * (2 * _ROWS - 1)
        return np.rint(dots).astype(np.int64)

    line = np.concatenate([heights(tail, past), heights(made, ahead)])
    low, high = (np.concatenate([line[:past], heights(edge, ahead)]) for edge in edges)
    before = np.concatenate([line[:1], line[:-1]])
    # A column is filled from its own dot almost to its neighbour's, so that the line has no gaps.
    first = np.where(before < line, np.minimum(before + 1, line), line)
    last = np.where(before > line, np.maximum(before - 1, line), line)
    chart = Text(
        f"{visible(forecast.columns[column])}, raw units\n", no_wrap=True, overflow="ellipsis"
    )
    for row in reversed(range(_ROWS)):
        label = {_ROWS - 1: labels[0], 0: labels[1]}.get(row, "")
        chart.append(f"{label:>{margin}} ┤" if label else f"{'':{margin}} │")
        for place in range(len(line)):
            lower, upper = (first[place] <= dot <= last[place] for dot in (2 * row, 2 * row + 1))
            style = _HISTORY if place < past else _FORECAST
            if lower or upper:
                chart.append(" ▄▀█"[lower + 2 * upper], style)
            elif low[place] <= 2 * row + 1 and 2 * row <= high[place] and place >= past:
                chart.append("░", _BAND)
            else:
                chart.append(" ")
        chart.append("\n")
    steps = np.arange(len(tail) + len(made))
    parts = ((steps[: len(tail)], past), (steps[len(tail) :], ahead))
    groups = [group for part, count in parts if count for group in np.array_split(part, count)]
    times = _times(forecast, len(tail))
    texts = [str(step + 1 - len(tail)) for step in steps] if times is None else time_texts(times)
    names = [visible(texts[group[0]]) for group in groups if len(group)]
    axis, below = _ticks(names, past)
    chart.append(f"{'':{margin}} └{axis}\n{'':{margin}}  {below}\n")
    begin = min(past, past + ahead - len("forecast"))  # moved left if it would not fit
    chart.append(f"{'':{margin}}  {'history':<{max(begin, 8)}}", _HISTORY)
    return chart.append("forecast", _FORECAST)


def _ticks(names: Sequence[str], begin: int) -> tuple[str, str]:
    """An axis with a tick wherever a name of a column fits below it, and the line of these names.

    The column ``begin``, where the forecast begins, is named first, and then the columns at equal
    distances on both sides of it.
    """
    axis, below = ["─"] * len(names), [" "] * len(names)
    distance = max(map(len, names), default=0) + 3
    wanted = sorted(range(begin % distance, len(names), distance), key=lambda at: at != begin)
    for at in wanted:
        name = names[at]
        start = min(at, len(names) - len(name))  # moved left at the right end
        if start < 0 or "".join(below[max(start - 1, 0) : start + len(name) + 1]).strip():
            continue
        axis[at] = "┴" if at == begin else "┬"
        below[start : start + len(name)] = name
    return "".join(axis), "".join(below).rstrip()
