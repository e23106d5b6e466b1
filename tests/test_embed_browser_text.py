"""The page of a text model: it writes what the graph with the loop writes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedded import zero_state
from page_projects import Project, visit, wait_until
from tiny import open_session

from pipeline.embed.browser.server import serve


def written_by(model: Path, prompt: str, length: int, settings: tuple[float, int, float]) -> str:
    """What ONNX Runtime writes with the random numbers of seed 7, 16 characters a call."""
    session = open_session(model / "onnx" / "generate.onnx")
    x = (7 * 0x9E3779B9) % 2**32 | 1
    points, text = np.array([[ord(one) for one in prompt]], np.int64).reshape(1, -1), ""
    state = zero_state(model)
    while len(text) < length:
        uniform = []
        for _ in range(min(16, length - len(text))):
            x ^= x << 13 & 0xFFFFFFFF
            x ^= x >> 17
            x ^= x << 5 & 0xFFFFFFFF
            uniform.append((x >> 8) / 2**24)
        inputs = {
            "prompt": points,
            "uniform": np.array([uniform], np.float32),
            "temperature": np.float32(settings[0]),
            "top_k": np.int64(settings[1]),
            "top_p": np.float32(settings[2]),
            "state": state,
        }
        made, _, state = session.run(None, {key: np.asarray(one) for key, one in inputs.items()})
        text += "".join(map(chr, made[0]))
        points = np.zeros((1, 0), np.int64)
    return text


@pytest.mark.parametrize(
    ("prompt", "length", "settings"),
    [("the naïve 🦊", 70, (1.0, 0, 1.0)), ("", 16, (0.7, 5, 0.9)), ("fox", 33, (0.0, 0, 1.0))],
)
def test_the_text_is_that_of_the_loop_graph(
    prompt: str,
    length: int,
    settings: tuple[float, int, float],
    page_project: Project,
    browser: Any,
) -> None:
    folder = page_project("text")
    with serve(folder) as url, visit(browser, url) as page:
        page.fill("#prompt", prompt)
        page.fill("#length", str(length))
        page.fill("#seed", "7")
        for name, value in zip(("temperature", "top-k", "top-p"), settings, strict=True):
            page.fill(f"#{name}", str(value))
        page.click("#write")
        page.locator("#written[aria-busy=false]").wait_for()
        text = page.locator("#written").text_content()
        assert f"{length} characters" in page.inner_text("#text-rate")
    assert text == prompt + written_by(folder / "model", prompt, length, settings)


def test_writing_stops_when_asked_and_strange_characters_are_named(
    page_project: Project, browser: Any
) -> None:
    with serve(page_project("text")) as url, visit(browser, url) as page:
        page.fill("#prompt", "Ω fox")
        assert page.inner_text("#prompt-hint").endswith("read as unknown: Ω")
        page.fill("#prompt", "fox")
        assert page.inner_text("#prompt-hint") == ""
        page.fill("#length", "100000")
        page.click("#write")
        wait_until(page, lambda: len(page.locator("#written").text_content()) > 100)
        assert page.inner_text("#write") == "Stop"
        page.click("#write")
        page.locator("#written[aria-busy=false]").wait_for()
        length = len(page.locator("#written").text_content())
        page.wait_for_timeout(200)
        assert len(page.locator("#written").text_content()) == length < 100_000
        assert page.inner_text("#write") == "Write"
        page.fill("#top-p", "2")
        page.click("#write")  # the browser says what is wrong with it
        assert page.locator("#top-p:invalid").count() == 1
        assert len(page.locator("#written").text_content()) == length
