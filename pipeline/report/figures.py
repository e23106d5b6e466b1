"""The pictures of the report: each function draws one, and returns its alternative text."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from pipeline.bundle import Bundle
from pipeline.contract.law import FLOAT32
from pipeline.escaping import picture_text
from pipeline.report.plot import draw_forecasts
from pipeline.report.svg import INK, SIZE
from pipeline.train.scores import FREE_RUN
from pipeline.validate import Row
from pipeline.validate.shares import percent, share_of

_MARKERS = "os^DvPX*"
_DASHES = ("-", "--", ":", "-.")
_BEYOND = "#d62728"
_FLOOR, _CEILING = 1e-4, 10.0  # shares of the tolerance at the ends of an axis
_TICKS = {1e-4: "0.01 %", 1e-3: "0.1 %", 1e-2: "1 %", 0.1: "10 %", 1.0: "100 %", 10.0: "1000 %"}
_APART = 0.07  # least distance of two labels along an axis, as a share of its length
_LINE = 0.22  # inches, the height of a line of text
_LONGEST = 24  # characters of a label that leaves room for a second one beside it


def draw_spread(figure: Figure, rows: Sequence[Row]) -> str:
    """The largest error of every case as a share of the tolerance, a strip for each row.

    The name of a row stands above its strip, and its largest share in words at the end of it.
    """
    figure.set_figheight(0.8 + 2 * _LINE * len(rows))
    axes, told = figure.subplots(), []
    beside = blended_transform_factory(axes.transAxes, axes.transData)
    for place, row in enumerate(rows):
        shares = [share_of(record) for record in row.cases]
        shown = np.clip(shares, _FLOOR, _CEILING)
        colors = [_BEYOND if share > 1 else "C0" for share in shares]
        largest = int(np.argmax(shown))
        level = np.full(len(shown), place, float)
        axes.scatter(shown, level, marker="|", s=90, c=colors, alpha=0.6, linewidth=1.2)
        axes.scatter(shown[largest], place, s=26, c=colors[largest], clip_on=False, zorder=3)
        axes.text(0.01, place - 0.42, _label(row), transform=beside, va="center")
        worst = percent(max(shares))
        axes.annotate(
            worst,
            (shown[largest], place),
            xytext=(7, 0),
            textcoords="offset points",
            va="center_baseline",
        )
        told.append(f"{_label(row)}: {len(shares)} cases, at most {worst}")
    axes.set(ylim=(len(rows) - 0.6, -0.8), yticks=[])
    axes.spines["left"].set_visible(False)
    _share_axis(axes, "x")
    axes.set_xlabel("largest error of a case, of the tolerance")
    return f"Largest errors of all cases as shares of the tolerance. {'; '.join(told)}."


def largest_by_length(row: Row) -> dict[int, float]:
    """The largest share of the tolerance at each length of the sequence, in steps."""
    largest: dict[int, float] = {}
    for record in sorted(row.cases, key=lambda record: record.time):
        largest[record.time] = max(largest.get(record.time, 0.0), share_of(record))
    return largest


def draw_by_length(figure: Figure, rows: Sequence[Row]) -> str:
    """The largest error at each length of the sequence, one line per row; no length is 0."""
    axes, told, lengths = figure.subplots(), [], set[int]()
    for index, row in enumerate(rows):
        largest = largest_by_length(row)
        lengths |= largest.keys()
        axes.plot(
            list(largest),
            np.clip(list(largest.values()), _FLOOR, _CEILING),
            label=_label(row),
            linestyle=_DASHES[index % len(_DASHES)],
            marker=_MARKERS[index % len(_MARKERS)],
            markerfacecolor="none",
            clip_on=False,
        )
        values = ", ".join(f"{percent(share)} at {time}" for time, share in largest.items())
        told.append(f"{_label(row)}: {values}")
    axes.set(xscale="log", xlabel="length of the sequence, steps")
    ticks = apart(sorted(lengths))
    axes.set_xticks(ticks, list(map(str, ticks)))
    _share_axis(axes, "y")
    axes.set_ylabel("largest error, of the tolerance")
    _legend(figure)
    return f"Largest errors as shares of the tolerance, by length. {'; '.join(told)}."


def apart(lengths: Sequence[int]) -> list[int]:
    """The ``lengths``, ascending, whose labels are far enough apart on a logarithmic axis.

    The longest is among them.
    """
    ends = math.log(lengths[0]), math.log(lengths[-1])
    kept = [lengths[-1]]
    for length in reversed(lengths[:-1]):
        if math.log(kept[-1]) - math.log(length) >= _APART * (ends[1] - ends[0]):
            kept.append(length)
    return kept[::-1]


def draw_along_stream(figure: Figure, rows: Sequence[Row]) -> str:
    """The error along a long stream, one line per row."""
    axes, told, steps, every = figure.subplots(), [], 0, [FLOAT32.atol]
    for index, row in enumerate(rows):
        for record in (record for record in row.cases if record.curve):
            errors = [math.nan if error is None else error for error in record.curve]
            steps = record.time
            every += [error for error in errors if error > 0]
            ends = np.linspace(0, steps, len(errors) + 1)[1:]
            dashes = _DASHES[index % len(_DASHES)]
            axes.plot(ends, errors, label=_label(row), linestyle=dashes, linewidth=1.2)
            largest = max(errors, key=lambda error: math.inf if math.isnan(error) else error)
            told.append(f"{_label(row)}: at most {largest:.1e}, at the end {errors[-1]:.1e}")
    axes.axhline(FLOAT32.atol, color=_BEYOND, linewidth=1, label="absolute tolerance")
    low, high = math.floor(math.log10(min(every))), math.ceil(math.log10(2 * max(every)))
    axes.set(yscale="log", xlim=(0, steps), ylim=(10.0**low, 10.0**high))
    axes.set(xlabel="step of the stream", ylabel="largest error of the output")
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:.0e}")
    axes.minorticks_off()
    _legend(figure)
    return (
        f"Errors against the float64 twin along one stream of {steps} steps, the largest in "
        f"each hundredth of it. {'; '.join(told)}."
    )


def draw_forecast(figure: Figure, bundle: Bundle) -> str:
    """The free-running forecast of ``bundle`` against the truth."""
    figure.set_figheight(SIZE[1] + _LINE)
    draw_forecasts(figure, [bundle], ink=INK)
    return (
        f"{FREE_RUN} values that {bundle.manifest.name} forecasts from its own forecasts, "
        "against the truth; below, their difference."
    )


def _share_axis(axes: Axes, which: str) -> None:
    """Make an axis one of shares of the tolerance, and shade what is beyond it."""
    span: Callable[..., object] = axes.axvspan if which == "x" else axes.axhspan
    axes.set(**{f"{which}scale": "log", f"{which}lim": (_FLOOR, _CEILING)})
    axes.set(**{f"{which}ticks": list(_TICKS), f"{which}ticklabels": list(_TICKS.values())})
    axes.minorticks_off()
    span(1, _CEILING, color=_BEYOND, alpha=0.12, linewidth=0, zorder=0)


def _label(row: Row) -> str:
    return picture_text(row.label if row.provider == "cpu" else f"{row.label}, {row.provider}")


def _legend(figure: Figure) -> None:
    """Add a legend above the axes, and make the figure as much taller, so that they keep theirs."""
    labels = figure.axes[0].get_legend_handles_labels()[1]
    columns = 1 if max(map(len, labels)) > _LONGEST else 2
    figure.set_figheight(SIZE[1] - 0.3 + _LINE * -(-len(labels) // columns))
    figure.legend(loc="outside upper left", ncols=columns, frameon=False, columnspacing=1.0)
