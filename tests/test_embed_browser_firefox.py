"""The page in Firefox: it begins by itself, replays, takes dates, and works without a network."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from firefox import Tab, firefox
from page_projects import Project

from pipeline.embed.browser.server import serve

INK = (
    "[...document.querySelectorAll('#chart canvas')].map((one) => one.getContext('2d')"
    ".getImageData(0, 0, one.width, one.height).data.some(Boolean))"
)
REPLAY = "document.querySelector('#replay').textContent"
STATUS = "document.querySelector('#series-status').innerText"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with firefox(tmp_path_factory.mktemp("firefox") / "profile") as opened:
        yield opened


@pytest.fixture(params=["series", "text"])
def page(request: pytest.FixtureRequest, page_project: Project) -> Path:
    """The folder of the page of a series or of a text."""
    return page_project(request.param)


SERIES = pytest.mark.parametrize("page", ["series"], indirect=True)
TEXT = pytest.mark.parametrize("page", ["text"], indirect=True)


@contextmanager
def visit(tab: Tab, folder: Path) -> Iterator[str]:
    """The page, once it has replayed; nothing may be said on its console or asked elsewhere."""
    tab.said.clear()
    tab.asked.clear()
    with serve(folder) as url:
        tab.open(url)
        tab.wait_for(f"{REPLAY} !== ''")
        yield url
        tab.evaluate("1")  # what the page said before is here with the answer
    assert tab.said == []
    assert [address for address in tab.asked if not address.startswith((url, "data:"))] == []


def test_the_page_replays_the_golden_trajectories(tab: Tab, page: Path) -> None:
    manifest = json.loads((page / "model" / "manifest.json").read_text())
    with visit(tab, page):
        line = json.loads(tab.evaluate(REPLAY))
        assert tab.evaluate("document.title") == manifest["name"]
        assert tab.text("#verdict").startswith("✓")
        assert f"Passed: {line['calls']} golden calls" in tab.text("#about")
    assert line["passed"] is True
    assert 0 < line["outputs"] < 1e-5
    assert 0 < line["share"] < 1
    assert re.fullmatch(r"onnxruntime-web \d+\.\d+\.\d+, Firefox \d+", line["runtime"])


@TEXT
def test_the_first_text_comes_by_itself(tab: Tab, page: Path) -> None:
    with visit(tab, page):
        tab.wait_for("document.querySelector('#written').ariaBusy === 'false'")
        prompt = tab.evaluate("document.querySelector('#prompt').value")
        written = tab.evaluate("document.querySelector('#written').textContent")
    assert prompt.strip() != ""
    assert written.startswith(prompt)
    assert len(written) == len(prompt) + 400


@SERIES
def test_the_first_forecast_comes_by_itself_and_moves(tab: Tab, page: Path) -> None:
    with visit(tab, page):
        first = tab.text("#series-status")
        assert re.match(r"Step \d+ of [\d,]+: \S+; 60 steps on: ", first)
        assert tab.evaluate(INK) == [True, True]
        tab.wait_for(f"{STATUS} !== {json.dumps(first)}")


@SERIES
def test_a_csv_with_dates_is_taken_and_a_wrong_line_is_refused_in_place(
    tab: Tab, page: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.csv"
    own.write_text('\ufeff"when";"load"\n' + "".join(f"2026-0{n}-01;{n},5\n" for n in range(1, 9)))
    with visit(tab, page):
        tab.choose("#csv", own)
        source = "document.querySelector('#series-source').innerText"
        tab.wait_for(f"{source}.startsWith('own.csv, 8 steps')")
        tab.evaluate("document.querySelector('#end').click()")
        tab.wait_for(f"{STATUS}.startsWith('Step 8 of 8 ')")
        status = tab.text("#series-status")
        assert status.startswith("Step 8 of 8 (2026-08-01): 8.5; 60 steps on (2031-08-01): ")
        assert tab.evaluate(INK) == [True, True]
        own.write_text("ds,y\n2026-01-01,1\n2026-02-30,2\n")
        tab.choose("#csv", own)
        tab.wait_for("!document.querySelector('#series-error').hidden")
        assert tab.text("#series-error").startswith('Error: line 3 of own.csv has "2026-02-30"')


@SERIES
def test_it_works_without_a_network(tab: Tab, page: Path) -> None:
    with visit(tab, page) as url:
        filled = "navigator.serviceWorker.ready.then(() => caches.keys())"
        tab.wait_for(f"{filled}.then((names) => names.length === 1)")
    tab.said.clear()
    tab.open(url)  # the server is gone
    tab.wait_for(f"{REPLAY} !== ''")
    assert json.loads(tab.evaluate(REPLAY))["passed"] is True
    assert tab.said == []
