"""The page alone: without a network, with other files, on an old browser."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser_pages import LIBRARIES
from page_projects import (
    CLIENT,
    Project,
    in_a_thread,
    rewrite,
    visit,
    wait_for_step,
    wait_until,
)
from tiny import edit_sealed, refused

from pipeline.bundle import Bundle
from pipeline.embed.browser.server import serve
from pipeline.embed.project import project_files, write_project
from pipeline.embed.sums import SUMS_FILE
from pipeline.embed.targets import find_target
from pipeline.errors import (
    IntegrityError,
    MalformedError,
    PipelineError,
    UnavailableError,
)


def newer(model: Path) -> None:
    edit_sealed(model / "manifest.json", lambda manifest: manifest.update(format=3))


def other(name: str) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        data = (model / name).read_bytes()
        (model / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    return change


@pytest.mark.parametrize(
    ("harm", "error", "words"),
    [
        (newer, MalformedError, "manifest.json has format 3; this program reads 2; update it"),
        (other("golden.json"), IntegrityError, "golden.json was changed after its export"),
        (other("onnx/model.onnx"), IntegrityError, "onnx/model.onnx was changed after its export"),
        (other("onnx/forecast.onnx"), IntegrityError, "onnx/forecast.onnx was changed after"),
        (lambda model: (model / "manifest.json").unlink(), MalformedError, "manifest.json"),
        (lambda model: (model / "golden.json").unlink(), MalformedError, "golden.json"),
        (lambda model: rewrite(model, "onnx/model.onnx", b"x"), UnavailableError, "cannot load"),
        (
            lambda model: shutil.rmtree(model.parent / "node_modules"),
            UnavailableError,
            "'npm install --ignore-scripts' gets it",
        ),
        (lambda model: (model.parent / "golden.mjs").unlink(), MalformedError, "worker.mjs"),
    ],
)
def test_what_is_wrong_is_one_line_on_the_page_and_an_error_of_ours(
    harm: Callable[[Path], None],
    error: type[PipelineError],
    words: str,
    page_project: Project,
    browser: Any,
) -> None:
    folder = page_project("series")
    harm(folder / "model")
    with serve(folder) as url:
        with visit(browser, url, clean=False) as page:
            page.locator("[role=alert]:visible").wait_for()
            line = page.inner_text("[role=alert]:visible")
        with refused(error, words):
            in_a_thread(url)
    assert line.startswith("Error: ")
    assert words in line
    assert len(line.splitlines()) == 1


def test_a_browser_without_webassembly_is_told_so(page_project: Project, browser: Any) -> None:
    folder = page_project("text")
    worker = folder / "worker.mjs"
    worker.write_text(f"globalThis.WebAssembly = undefined;\n{worker.read_text()}")
    with serve(folder) as url, visit(browser, url) as page:
        assert "this browser has no WebAssembly" in page.inner_text("[role=alert]:visible")


def kept(page: Any) -> list[str]:
    """The names of the caches, once the service worker has filled them."""
    names: list[str] = page.evaluate("navigator.serviceWorker.ready.then(() => caches.keys())")
    return names


def test_it_works_without_a_network_and_a_new_model_is_not_served_stale(
    page_project: Project, page_bundles: dict[str, Bundle], browser: Any
) -> None:
    folder = page_project("series")
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    replayed = page.locator("#replay:not(:empty)")
    with serve(folder) as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        page.goto(url)
        (first,) = kept(page)
    for address in (url, f"{url}index.html"):  # the server is gone
        page.goto(address)
        page.locator("#series-status:not(:empty)").wait_for()
        assert json.loads(replayed.text_content())["passed"] is True
        wait_for_step(page, 121)
    shutil.rmtree(folder / "model")
    write_project(page_bundles["text"], find_target("browser"), folder, force=True)
    with serve(folder, port):
        page.goto(url)
        replayed.wait_for(state="attached")
        assert page.title() == "char-gru"
        wait_until(page, lambda: kept(page) not in ([first], []) and len(kept(page)) == 1)
    page.reload()
    replayed.wait_for(state="attached")
    assert page.title() == "char-gru"
    page.click("#write")
    page.locator("#written[aria-busy=false]").wait_for()
    prompt = page.input_value("#prompt")
    assert len(page.locator("#written").text_content()) == len(prompt) + 400
    context.close()
    assert said == []


def test_the_service_worker_keeps_every_file_of_the_page(page_bundles: dict[str, Bundle]) -> None:
    names = set(project_files(page_bundles["series"], find_target("browser")))
    others = {"README.md", "index.html", "package.json", "service-worker.js", SUMS_FILE}
    page = {name for name in names - others if not name.startswith("model/")}
    worker = (CLIENT / "service-worker.js").read_text()
    assert set(re.findall(r'^  "(.+)",$', worker, flags=re.M)) == page | LIBRARIES | {"./"}
