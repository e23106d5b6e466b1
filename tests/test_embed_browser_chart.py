"""The page of a series: the chart, the forecast, and files of the user."""

import json
import re
from typing import Any

import numpy as np
import pytest
from embedded import zero_state
from page_projects import (
    Project,
    step_of,
    visit,
    wait_for_step,
    wait_until,
)
from tiny import open_session

from pipeline.embed.browser.server import serve


def picture(page: Any) -> bytes:
    data: bytes = page.locator("#chart").screenshot()
    return data


def has_ink(page: Any) -> bool:
    """Whether anything is drawn in both plots of the chart."""
    found: bool = page.evaluate(
        "() => { const all = [...document.querySelectorAll('#chart canvas')];"
        " return all.length === 2 && all.every((one) => one.getContext('2d')"
        ".getImageData(0, 0, one.width, one.height).data.some(Boolean)) }"
    )
    return found


def test_the_chart_moves_and_can_be_paused(page_project: Project, browser: Any) -> None:
    with serve(page_project("series")) as url, visit(browser, url) as page:
        assert has_ink(page)
        before, first = picture(page), step_of(page)
        wait_for_step(page, first + 3)
        assert picture(page) != before
        page.click("#play")
        assert page.inner_text("#play") == "Play"
        page.wait_for_timeout(300)
        before, first = picture(page), step_of(page)
        page.wait_for_timeout(400)
        assert (picture(page), step_of(page)) == (before, first)
        page.click("#step")
        wait_for_step(page, first + 1)
        assert picture(page) != before
        for slider, value in (("horizon", "20"), ("samples", "30")):
            page.fill(f"#{slider}", value)
            assert page.inner_text(f"output[for={slider}]") == value
        wait_until(page, lambda: "; 20 steps on:" in page.inner_text("#series-status"))
        page.click("#end")
        wait_until(page, lambda: step_of(page) > first + 100)
        last = step_of(page)
        page.click("#play")  # the unseen data begin anew
        wait_until(page, lambda: 0 < step_of(page) < last)


def test_the_forecast_is_that_of_the_loop_graph(page_project: Project, browser: Any) -> None:
    folder = page_project("series")
    session = open_session(folder / "model" / "onnx" / "forecast.onnx")
    held_out = json.loads((folder / "model" / "golden.json").read_text())["held_out"]["input"]
    unseen = np.reshape(held_out["data"], held_out["shape"])
    with serve(folder) as url, visit(browser, url, reduced_motion="reduce") as page:
        assert page.inner_text("#play") == "Play"  # moves only when asked
        page.click("#step")
        wait_for_step(page, 121)
        status = page.inner_text("#series-status").replace("\N{MINUS SIGN}", "-")
    inputs = {
        "history": unseen[None, :121].astype(np.float32),
        "steps": np.int64(60),
        "noise": np.zeros((1, 0, 60), np.float32),
        "state": zero_state(folder / "model"),
    }
    forecast, _, _ = session.run(None, {key: np.asarray(one) for key, one in inputs.items()})
    found = re.fullmatch(
        r"Step 121 of [\d,]+: (.+); 60 steps on: (.+), 90 % from (.+) to (.+)", status
    )
    assert found
    read, ahead, low, high = map(float, found.groups())
    assert read == pytest.approx(unseen[120][0], abs=1e-3)
    assert ahead == pytest.approx(float(forecast[0, -1, 0]), abs=1e-3)
    assert low < ahead < high


@pytest.mark.parametrize(
    ("kind", "limit", "status"),
    [
        ("both", "It reads the last 16 steps as a whole: one step ahead", "; the next step: "),
        ("wide", "It reads 2 columns and forecasts 1: one step ahead", "; the next step: "),
    ],
)
def test_a_model_without_a_loop_forecasts_one_step_and_says_so(
    kind: str, limit: str, status: str, page_project: Project, browser: Any
) -> None:
    with serve(page_project(kind)) as url, visit(browser, url) as page:
        assert page.inner_text("#series-limit").startswith(limit)
        first = step_of(page)
        wait_for_step(page, first + 2)
        assert status in page.inner_text("#series-status")
        assert "90 % from" in page.inner_text("#series-status")
        assert not page.locator("#horizon").is_visible()


def choose(page: Any, content: str, name: str = "own.csv") -> None:
    file = {"name": name, "mimeType": "text/csv", "buffer": content.encode()}
    page.set_input_files("#csv", file)


@pytest.mark.parametrize(
    ("content", "last", "ahead"),
    [
        ("ds;y\n01.02.2026;1,5\n25.02.2026;3,5\n13.02.2026;2,5\n", "2026-02-25", "2028-02-15"),
        (
            '"date","y"\n' + "".join(f'"2026-0{n}-28","{n}"\n' for n in (1, 2, 3)),
            "2026-03-28",
            "2031-03-28",
        ),
        (
            "when\tload\n2026-01-31 22:00\t1\n2026-01-31 23:00\t2\n",
            "2026-01-31 23:00",
            "2026-02-03 11:00",
        ),
        (
            "ds,y\n"
            + "".join(f"2026-01-{n:02},{n}\n" for n in (5, 6, 7, 8, 9, 12, 13, 14, 15, 16)),
            "2026-01-16",
            "2026-04-10",
        ),
    ],
)
def test_dates_of_a_file_are_shown_and_go_on_in_the_forecast(
    content: str, last: str, ahead: str, page_project: Project, browser: Any
) -> None:
    with serve(page_project("series")) as url, visit(browser, url, reduced_motion="reduce") as page:
        choose(page, content)
        page.locator("#series-source", has_text="own.csv").wait_for()
        page.click("#end")
        wait_until(page, lambda: f"({last})" in page.inner_text("#series-status"))
        assert f"; 60 steps on ({ahead}): " in page.inner_text("#series-status")
        page.focus("#chart")
        page.keyboard.press("ArrowRight")
        page.locator("#pointed", has_text="forecast").wait_for()
        assert page.inner_text("#pointed")[:2] == "20"
        assert has_ink(page)


def test_the_chart_zooms_by_mouse_buttons_and_keys_and_says_what_is_pointed_at(
    page_project: Project, browser: Any
) -> None:
    with serve(page_project("series")) as url, visit(browser, url) as page:
        plot = page.locator("#chart .u-over").first
        box = plot.bounding_box()
        page.mouse.move(box["x"] + 100, box["y"] + 50)
        page.locator("#pointed", has_text=re.compile(r"^Step \d+ · read ")).wait_for()
        whole = picture(page)
        page.mouse.down()
        page.mouse.move(box["x"] + 300, box["y"] + 50, steps=5)
        page.mouse.up()
        page.locator("#play", has_text="Play").wait_for()  # a view that was chosen stays
        page.wait_for_timeout(300)
        zoomed = picture(page)
        assert zoomed != whole
        page.click("#zoom-out")
        wait_until(page, lambda: picture(page) != zoomed)
        page.click("#zoom-reset")
        page.mouse.move(0, 0)
        page.wait_for_timeout(100)
        usual = picture(page)
        page.click("#zoom-in")
        wait_until(page, lambda: picture(page) != usual)
        page.focus("#chart")
        page.keyboard.press("0")
        page.focus("#zoom-reset")
        wait_until(page, lambda: picture(page) == usual)


def test_a_file_of_the_user_is_forecast(page_project: Project, browser: Any) -> None:
    with serve(page_project("series")) as url, visit(browser, url) as page:
        choose(page, "\ufefftemperature\r\n" + "".join(f"{n / 9:.3f}\r\n" for n in range(40)))
        page.locator("#series-source", has_text="own.csv, 40 steps").wait_for()
        page.click("#end")
        wait_for_step(page, 40)
        status = page.inner_text("#series-status")
        assert status.startswith("Step 40 of 40: 4.333; 60 steps on: ")
        assert page.get_attribute("#chart", "aria-label") == f"Chart of temperature. {status}"
        page.locator("#play", has_text="Play").wait_for()  # it stays at the end of a file
        page.click("#play")  # or begins anew
        wait_until(page, lambda: 0 < step_of(page) < 40)
        page.click("#held-out")
        page.locator("#series-source", has_text="Unseen data").wait_for()
        transfer = page.evaluate_handle(
            "() => { const all = new DataTransfer();"
            " all.items.add(new File(['1\\n2\\n3\\n'], 'dropped.csv')); return all }"
        )
        page.dispatch_event("#chart", "drop", {"dataTransfer": transfer})
        page.locator("#series-source", has_text="dropped.csv, 3 steps").wait_for()


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("series", "1\n2\n3,4\n5\n", "line 3 of own.csv has 2 columns, where line 1 has 1 column"),
        (
            "series",
            "y\n1\n\nx\n",
            'line 4 of own.csv has "x" in column "y", which is no number; correct it',
        ),
        ("series", 'ds,y\n"2026-01-01","1"\n2026-01-02,\n', "line 3 of own.csv has no value"),
        ("series", "ds,y\n2026-01-01,1\n2026-02-30,2\n", 'line 3 of own.csv has "2026-02-30"'),
        (
            "series",
            "ds;y\n2026-01-02;1\n2026-01-02;2\n",
            "line 3 of own.csv has the time of line 2",
        ),
        (
            "series",
            "ds,y\n2026-01-01,1\n2026-01-02,2\n2026-01-03,3\n2026-01-07,4\n",
            "line 5 of own.csv is 4 steps after line 4, where a step is 1 day; add the lines",
        ),
        ("series", "unique_id,y\na,1\nb,2\n", 'line 3 of own.csv begins another series, "b"'),
        ("series", 'y\n1\n"2\n', "line 3 of own.csv has a quote that is not closed"),
        ("series", "a,b\n1,2\n3,4\n", "own.csv has 2 columns; the model reads 1 column"),
        ("series", "1\n1e99\n", 'line 2 of own.csv has "1e99", which is too large'),
        ("series", "y\n1\n", "own.csv has fewer than two lines of numbers"),
        ("series", "", "own.csv has fewer than two lines of numbers"),
        ("wide", "load,day\n1,2\n3\n", "line 3 of own.csv has 1 column, where line 1 has 2"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_line(
    kind: str, content: str, words: str, page_project: Project, browser: Any
) -> None:
    with serve(page_project(kind)) as url, visit(browser, url) as page:
        choose(page, content)
        page.locator("[role=alert]:visible").wait_for()
        line = page.inner_text("[role=alert]:visible")
        assert line.startswith(f"Error: {words}")
        assert len(line.splitlines()) == 1
        first = step_of(page)
        wait_for_step(page, first + 2)  # what was there goes on
        choose(page, "1,2\n3,4\n" if kind == "wide" else "1\n2\n")
        page.locator("#series-source", has_text="own.csv, 2 steps").wait_for()
        page.locator("#series-error").wait_for(state="hidden")
