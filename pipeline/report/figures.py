"""Pictures in the report: SVG in the text colour of the page, which fits light and dark themes."""

import io
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
from cycler import cycler
from markupsafe import Markup
from matplotlib.figure import Figure

from pipeline.bundle import Bundle
from pipeline.contract.law import FLOAT32
from pipeline.escaping import picture_text, visible
from pipeline.report.picture import plain_text
from pipeline.report.plot import draw_forecasts
from pipeline.train.scores import FREE_RUN
from pipeline.validate import CaseRecord, Row

# Every colour contrasts with white and with near-black; markers and dashes differ as well.
_COLORS = ["#1f77b4", "#d9690c", "#2a9648", "#9467bd", "#c2478f", "#8c7a1f", "#17889a", "#7f7f7f"]
_MARKERS = "os^DvPX*"
_DASHES = ("-", "--", ":", "-.")
_INK = "#010203"  # placeholder for the text colour of the page
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _INK,
    "axes.facecolor": "none",
    "axes.labelcolor": _INK,
    "axes.prop_cycle": cycler(color=_COLORS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10,
    "legend.fontsize": 9,
    "svg.fonttype": "none",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_BEYOND = "#d62728"
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_SIZE = (4.6, 3.0)  # inches; a phone shows it at about this size
_FLOOR, _CEILING = 1e-4, 10.0  # shares of the tolerance at the ends of an axis
_TICKS = {1e-4: "0.01 %", 1e-3: "0.1 %", 1e-2: "1 %", 0.1: "10 %", 1.0: "100 %", 10.0: "1000 %"}


def share_of(record: CaseRecord | Row) -> float:
    """The largest error as a share of the tolerance; infinite where a result is not finite."""
    return math.inf if record.share is None else record.share


def percent(share: float) -> str:
    """A share of the tolerance, for people."""
    if not math.isfinite(share):
        return "not finite"
    return f"{share * 100:.2g} %" if share < 0.1 else f"{share * 100:,.0f} %"


def histogram(name: str, rows: Sequence[Row]) -> Markup:
    """A histogram of the largest error of each case as a share of the tolerance, by runtime."""

    def draw(figure: Figure) -> str:
        shares = [[share_of(record) for record in row.cases] for row in rows]
        axes = figure.subplots()
        axes.hist(
            [np.clip(row, _FLOOR, _CEILING) for row in shares],
            bins=list(np.geomspace(_FLOOR, _CEILING, 31)),
            stacked=True,
            label=[_label(row) for row in rows],
        )
        axes.set(xscale="log", xlim=(_FLOOR, _CEILING), ylabel="cases")
        axes.set_xlabel("largest error of a case, of the tolerance")
        axes.set_xticks(list(_TICKS), list(_TICKS.values()))
        axes.minorticks_off()
        axes.axvspan(1, _CEILING, color=_BEYOND, alpha=0.15, linewidth=0, zorder=0)
        _legend(figure, len(rows))
        every = sorted(share for row in shares for share in row)
        return (
            f"Histogram of the largest errors of {len(every)} cases as shares of the tolerance: "
            f"median {percent(every[len(every) // 2])}, largest {percent(every[-1])}, "
            f"{sum(share > 1 for share in every)} beyond the tolerance."
        )

    return _svg(f"{name}, histogram", draw)


def by_length(name: str, rows: Sequence[Row]) -> Markup:
    """The largest error at each length of the sequence, one line per runtime."""

    def draw(figure: Figure) -> str:
        axes, told = figure.subplots(), []
        for index, row in enumerate(rows):
            largest: dict[int, float] = {}
            for record in row.cases:
                largest[record.time] = max(largest.get(record.time, 0.0), share_of(record))
            times = sorted(largest)
            axes.plot(
                times,
                np.clip([largest[time] for time in times], _FLOOR, _CEILING),
                label=_label(row),
                linestyle=_DASHES[index % len(_DASHES)],
                marker=_MARKERS[index % len(_MARKERS)],
                markerfacecolor="none",
                clip_on=False,
            )
            values = ", ".join(f"{percent(largest[time])} at {time}" for time in times)
            told.append(f"{_label(row)}: {values}")
        axes.set(xscale="log", yscale="log", ylim=(_FLOOR, _CEILING))
        axes.set(xlabel="length of the sequence, steps", ylabel="largest error, of the tolerance")
        axes.set_xticks(times, list(map(str, times)))
        axes.set_yticks(list(_TICKS), list(_TICKS.values()))
        axes.minorticks_off()
        axes.axhspan(1, _CEILING, color=_BEYOND, alpha=0.15, linewidth=0, zorder=0)
        _legend(figure, len(rows))
        return f"Largest errors as shares of the tolerance, by length. {'; '.join(told)}."

    return _svg(f"{name}, by length", draw)


def forecast(bundle: Bundle) -> Markup:
    """The free-running forecast of the model against the truth."""

    def draw(figure: Figure) -> str:
        draw_forecasts(figure, [bundle], ink=_INK)
        figure.axes[0].margins(y=0.4)  # in a picture this small the legend needs room of its own
        return (
            f"{FREE_RUN} values that {bundle.manifest.name} forecasts from its own forecasts, "
            "against the truth; below, their difference."
        )

    return _svg(f"{bundle.manifest.name}, forecast", draw, layout="constrained")


def along_stream(name: str, rows: Sequence[Row]) -> Markup:
    """The error along a long stream, one line per runtime."""

    def draw(figure: Figure) -> str:
        axes, told, steps, every = figure.subplots(), [], 0, [FLOAT32.atol]
        for index, row in enumerate(rows):
            for record in (record for record in row.cases if record.curve):
                errors = [math.nan if error is None else error for error in record.curve]
                steps = record.time
                every += [error for error in errors if error > 0]
                ends = np.linspace(0, steps, len(errors) + 1)[1:]
                axes.plot(
                    ends,
                    errors,
                    label=_label(row),
                    linestyle=_DASHES[index % len(_DASHES)],
                    linewidth=1.2,
                )
                largest = max(errors, key=lambda error: math.inf if math.isnan(error) else error)
                told.append(f"{_label(row)}: at most {largest:.1e}, at the end {errors[-1]:.1e}")
        axes.axhline(FLOAT32.atol, color=_BEYOND, linewidth=1)
        axes.text(0, FLOAT32.atol, " absolute part of the tolerance", va="bottom", fontsize=9)
        low, high = math.floor(math.log10(min(every))), math.ceil(math.log10(2 * max(every)))
        axes.set(yscale="log", xlim=(0, steps), ylim=(10.0**low, 10.0**high))
        axes.set(xlabel="step of the stream", ylabel="largest error of output")
        axes.yaxis.set_major_formatter("{x:.0e}")
        axes.minorticks_off()
        _legend(figure, len(rows))
        return (
            f"Errors against the float64 twin along one stream of {steps} steps, the largest in "
            f"each hundredth of it. {'; '.join(told)}."
        )

    return _svg(f"{name}, along a stream", draw)


def _label(row: Row) -> str:
    label = row.label if row.provider == "cpu" else f"{row.label}, {row.provider}"
    return picture_text(label)


def _legend(figure: Figure, entries: int) -> None:
    """Add a legend above the axes, and make the figure taller, so that the axes do not shrink."""
    legend = 0.15 + 0.2 * -(-entries // 2)  # inches
    height = _SIZE[1] - 0.3 + legend
    figure.set_figheight(height)
    figure.subplots_adjust(0.2, 0.5 / height, 0.94, 1 - legend / height)
    figure.legend(loc="upper left", ncols=2, frameon=False)


def _svg(
    salt: str,
    draw: Callable[[Figure], str],
    layout: Literal["constrained"] | None = None,
) -> Markup:
    """The figure that ``draw`` draws, as SVG for a page; ``draw`` returns its alternative text.

    Ids in the SVG depend on ``salt``, so that they differ between pictures and never change.
    """
    buffer = io.BytesIO()
    with plain_text(), mpl.rc_context({**_STYLE, "svg.hashsalt": visible(salt)}):
        figure = Figure(figsize=_SIZE, layout=layout)
        alternative = draw(figure)
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    root = ElementTree.fromstring(buffer.getvalue())
    for element in root.iter():
        element.tag = _local(element.tag)
        attributes = {_local(name): value for name, value in element.items()}
        if element.tag == "g":
            attributes.pop("id", None)  # ids of groups are unused, and not unique
        if "style" in attributes:
            attributes["style"] = attributes["style"].replace(_INK, "currentColor")
        element.attrib.clear()
        element.attrib |= attributes
    for parent in list(root.iter()):
        for child in parent.findall("style"):
            parent.remove(child)  # it would apply to the whole page
    view = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib |= {"viewBox": view, "role": "img", "aria-label": visible(alternative)}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _local(name: str) -> str:
    """``name`` without its namespace; in HTML, SVG has none."""
    return name.rpartition("}")[2]
