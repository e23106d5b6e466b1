"""Charts of a forecast after the end of its history, in a file or in the terminal."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
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
    """Draw a fan chart of every target to ``path``.

    Raises:
        StorageError: the file system refused.
    """
    tail, quantiles = _tail(forecast), forecast.quantiles
    past, ahead, label_of_times = _places(forecast, len(tail))
    with picture(path, height=0.6 + 2.6 * len(forecast.columns)) as figure:
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
        rows[0].legend(loc="best", ncols=4, frameon=False)
        rows[-1].set(xlabel=label_of_times)


def _places(forecast: Forecast, shown: int) -> tuple[Any, Any, str]:
    """Where the last ``shown`` steps of the history, and it with all steps that follow, are drawn.

    These are their times, if there are any, or else their numbers after the history. The label of
    such an axis comes last; dates need none.
    """
    times = forecast.history.times
    if times is None:
        return np.arange(1 - shown, 1), np.arange(len(forecast.values) + 1), _STEPS
    ahead = forecast.times
    if isinstance(ahead, pd.DatetimeIndex):
        ahead = ahead.tz_convert(times.zone).tz_localize(None) if ahead.tz is not None else ahead
    past = times.index[-shown:]
    label = "" if isinstance(ahead, pd.DatetimeIndex) else str(forecast.history.time)
    return past.to_numpy(), past[-1:].append(ahead).to_numpy(), picture_text(label)


def terminal_chart(forecast: Forecast, column: int, width: int) -> Text:
    """One target as a line of half blocks, ``width`` characters wide, with a shaded quantile band.

    If there are more steps than columns of characters, a column shows the mean of several steps.
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
    chart.append(f"{'':{margin}} └{'─' * past}┴{'─' * max(ahead - 1, 0)}\n")
    begin = min(past, past + ahead - len("forecast"))  # moved left if it would not fit
    chart.append(f"{'':{margin}}  {'history':<{max(begin, 8)}}", _HISTORY)
    chart.append("forecast", _FORECAST)
    if forecast.history.times is not None and len(forecast.times):
        ends = [forecast.history.times.index[-len(tail) :][:1], forecast.times[-1:]]
        begin_text, end_text = (time_texts(time)[0] for time in ends)
        room = past + ahead - len(begin_text)
        if len(end_text) < room:
            chart.append(f"\n{'':{margin}}  {begin_text}{end_text:>{room}}", _HISTORY)
    return chart
