"""Pictures as SVG for a page, in its text colour and fonts, which fit light and dark themes."""

import io
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from cycler import cycler
from markupsafe import Markup
from matplotlib.figure import Figure

from pipeline.escaping import visible
from pipeline.report.picture import plain_text

# Every colour contrasts with white and with near-black; markers and dashes differ as well.
_COLORS = ["#1f77b4", "#d9690c", "#2a9648", "#9467bd", "#c2478f", "#8c7a1f", "#17889a", "#7f7f7f"]
INK = "#010203"  # placeholder for the text colour of the page
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.prop_cycle": cycler(color=_COLORS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10,
    "legend.fontsize": 10,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
SIZE = (4.6, 3.0)  # inches; a phone shows it at about this size


def svg(salt: str, draw: Callable[[Figure], str]) -> Markup:
    """The figure that ``draw`` draws; ``draw`` returns its alternative text.

    Ids in the SVG depend on ``salt``, so that they differ between pictures and never change.
    """
    buffer = io.BytesIO()
    with plain_text(), mpl.rc_context({**_STYLE, "svg.hashsalt": visible(salt)}):
        figure = Figure(figsize=SIZE, layout="constrained")
        alternative = draw(figure)
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    root = ElementTree.fromstring(buffer.getvalue())
    for element in root.iter():
        element.tag = _local(element.tag)
        attributes = {_local(name): value for name, value in element.items()}
        if element.tag == "g":
            attributes.pop("id", None)  # ids of groups are unused, and not unique
        if "style" in attributes:
            attributes["style"] = attributes["style"].replace(INK, "currentColor")
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
