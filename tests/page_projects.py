"""The page of a bundle, written, visited in a browser, and waited for."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_pages import NODE_MODULES
from conftest import write_tiny_bundle
from embedded import FORMAT_1
from module_bundles import RECIPES, write_module_bundle
from shared import once, shared
from tiny import edit_sealed, missing, saved, series_config, tool

from pipeline.bundle import Bundle, open_bundle
from pipeline.config import SeriesSource
from pipeline.embed.browser import server as serving
from pipeline.embed.browser.server import replay_in_browser
from pipeline.embed.project import write_project
from pipeline.embed.targets import find_target

CLIENT = Path(serving.__file__).with_name("client")


Project = Callable[[str], Path]


@pytest.fixture(scope="session")
def web_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``node_modules``, as npm installs what package.json asks for."""

    def make(folder: Path) -> None:
        folder.mkdir()
        shutil.copy(CLIENT / "package.json", folder)
        command = [tool("npm"), "install", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            missing(f"npm cannot install what the page needs: {done.stderr[-300:]}")

    return once(shared(tmp_path_factory) / "npm", make) / NODE_MODULES


@pytest.fixture(scope="session")
def page_bundles(
    tiny_bundle: Callable[[str], Bundle], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Bundle]:
    """A series, a text, one of whole sequences, and one that reads more than it forecasts.

    Beside these :data:`KINDS`, there are bundles of format 1, and those of modules.
    """
    root = tmp_path_factory.mktemp("bundles")
    steps = np.arange(200)
    table = np.column_stack([np.sin(steps / 5), steps % 7])
    np.savetxt(root / "load.csv", table, delimiter=",", header="load,day", comments="")
    columns = {"target": ("load",), "columns": ("load", "day")}
    source = SeriesSource(file=str(root / "load.csv"), **columns)
    plain = series_config("lstm")
    model = plain.model.model_copy(update={"features": 2, "targets": 1})
    configs = {
        "both": series_config("gru", bidirectional=True, readout="final", state_penalty=0.0),
        "wide": plain.model_copy(update={"source": source, "model": model}),
    }
    made = {"series": tiny_bundle("sine-lstm"), "text": tiny_bundle("char-gru")}
    for name, config in configs.items():
        saved(root / "checkpoints" / name, config)
        made[name] = write_tiny_bundle(root / "checkpoints" / name, root / name)
    made |= {name: open_bundle(FORMAT_1 / name) for name in ("sine-gru", "char-lstm")}
    return made | {kind: write_module_bundle(kind, root / kind) for kind in RECIPES}


@pytest.fixture
def page_project(page_bundles: dict[str, Bundle], web_runtime: Path, tmp_path: Path) -> Project:
    """Writes the project of a bundle, with its runtime in place."""

    def make(kind: str) -> Path:
        write_project(page_bundles[kind], find_target("browser"), tmp_path / kind)
        for package in ("onnxruntime-web/dist", "papaparse", "uplot"):
            place = tmp_path / kind / NODE_MODULES / package
            shutil.copytree(web_runtime / package, place, copy_function=os.link)
        return tmp_path / kind

    return make


@contextmanager
def visit(browser: Any, url: str, clean: bool = True, **options: Any) -> Iterator[Any]:
    """The page, once it has replayed; nothing may be said on its console or asked elsewhere."""
    context = browser.new_context(**options)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    context.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    page.locator("#replay:not(:empty)").wait_for(state="attached")
    shown = "#text:visible, #series-status:not(:empty), #stream:visible, #error:visible"
    page.locator(shown).first.wait_for()
    yield page
    context.close()
    assert [address for address in asked if not address.startswith((url, "data:"))] == []
    if clean:
        assert said == []


def in_a_thread(url: str) -> dict[str, Any]:
    """``replay_in_browser`` away from the Playwright of these tests."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(replay_in_browser, url).result()


def step_of(page: Any) -> int:
    """How many rows the page says it has read."""
    found = re.match(r"Step ([\d,]+) of", page.inner_text("#series-status"))
    assert found
    return int(found[1].replace(",", ""))


def wait_until(page: Any, true: Callable[[], bool]) -> None:
    for _ in range(200):
        if true():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it never came")


def wait_for_step(page: Any, step: int) -> None:
    wait_until(page, lambda: step_of(page) >= step)


def rewrite(model: Path, name: str, data: bytes) -> None:
    """Another content for a file, with its digest and size in the manifest."""
    from pipeline.storage import sha256

    (model / name).write_bytes(data)
    entry = {"sha256": sha256(data), "bytes": len(data)}
    edit_sealed(model / "manifest.json", lambda manifest: manifest["files"].update({name: entry}))
