"""Pictures of the report: the data that they show."""

from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from tiny import validation_of
from validated import Validated, failing

from pipeline.bundle import Bundle
from pipeline.report import html
from pipeline.report.figures import apart, draw_along_stream, draw_by_length, draw_spread
from pipeline.report.html import report_html
from pipeline.validate import Row
from pipeline.validate.shares import percent


def drawn(draw: Callable[..., str], rows: list[Row]) -> tuple[Any, str]:
    """The axes that ``draw`` draws ``rows`` into, and its alternative text."""
    figure = Figure(layout="constrained")
    told = draw(figure, rows)
    (axes,) = figure.axes
    return axes, told


def test_a_picture_by_length_has_the_largest_error_of_every_length_and_no_other(
    validated: list[Validated],
) -> None:
    rows = list(validated[0][1].rows)
    axes, told = drawn(draw_by_length, rows)
    for row, line in zip(rows, axes.lines, strict=True):
        expected: dict[int, float] = {}
        for record in row.cases:
            expected[record.time] = max(expected.get(record.time, 0), record.share or 0)
        assert line.get_label() == row.label
        assert dict(zip(line.get_xdata(), line.get_ydata(), strict=True)) == {
            time: max(share, 1e-4) for time, share in expected.items()
        }
        assert min(line.get_xdata()) == 1
        assert f"{percent(expected[200])} at 200" in told
    assert [int(tick) for tick in axes.get_xticks()] == [1, 2, 7, 60, 200, 600]  # not 50
    assert axes.get_xscale() == "log"


def test_loops_are_on_the_picture_of_all_cases_and_on_no_other(
    tiny_bundle: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tiny_bundle("char-gru")
    steps, loops = (validation_of(bundle, graph=graph) for graph in ("model", "generate"))
    assert any(record.time == 0 for row in loops.rows for record in row.cases)
    both = steps.model_copy(update={"rows": (*steps.rows, *loops.rows)})
    seen: dict[str, list[str]] = {}
    for name in ("draw_spread", "draw_by_length", "draw_along_stream"):
        draw = getattr(html, name)

        def watch(figure: Figure, rows: list[Row], draw: Any = draw) -> str:
            seen[draw.__name__] = [row.graph for row in rows]
            return str(draw(figure, rows))

        monkeypatch.setattr(html, name, watch)
    report_html([(bundle, both)])
    of_steps = ["model"] * len(steps.rows)
    assert seen == {
        "draw_spread": [*of_steps, *["generate"] * len(loops.rows)],
        "draw_by_length": of_steps,
        "draw_along_stream": of_steps,
    }


def test_the_picture_of_all_cases_has_each_of_them_and_marks_what_is_beyond(
    validated: list[Validated],
) -> None:
    rows = [row for row in failing(validated[0][1]).rows if row.cases]
    axes, told = drawn(draw_spread, rows)
    strips, dots = axes.collections[::2], axes.collections[1::2]
    for place, (row, strip, dot) in enumerate(zip(rows, strips, dots, strict=True)):
        shares = [10 if record.share is None else record.share for record in row.cases]
        points = strip.get_offsets()
        assert points[:, 0].tolist() == [max(share, 1e-4) for share in shares]
        assert set(points[:, 1]) == {place}
        assert dot.get_offsets()[0].tolist() == [max(shares), place]
        red = [tuple(color[:3]) == to_rgb("#d62728") for color in strip.get_facecolor()]
        assert red == [share > 1 for share in shares]
    assert f"{rows[0].label}: 41 cases, at most not finite" in told


def test_the_picture_of_a_stream_has_every_hundredth_of_it(validated: list[Validated]) -> None:
    rows = list(validated[0][1].rows)
    axes, _ = drawn(draw_along_stream, rows)
    for row, line in zip(rows, axes.lines[:-1], strict=True):
        (curve,) = (record.curve for record in row.cases if record.curve)
        assert line.get_ydata().tolist() == list(curve)
        assert line.get_xdata()[-1] == 600
    assert set(axes.lines[-1].get_ydata()) == {1e-5}


def test_labels_of_lengths_are_apart_and_the_longest_is_there() -> None:
    assert apart([7]) == [7]
    assert apart([1, 2, 7, 50, 333, 1000, 10_000]) == [1, 2, 7, 50, 333, 1000, 10_000]
    assert apart([1, 2, 3, 98, 99, 100]) == [1, 2, 3, 100]
