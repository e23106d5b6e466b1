"""The server of a page gives its files and no others, and says what keeps a browser from it."""

import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from browser_pages import NODE_MODULES, RUNTIME, asked, project_by_hand
from tiny import refused

from pipeline.embed.browser import server as serving
from pipeline.embed.browser.server import replay_in_browser, serve
from pipeline.embed.sums import SUMS_FILE
from pipeline.errors import MalformedError, StorageError, UnavailableError


def test_the_server_gives_the_files_of_the_page_and_no_others(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    types = {
        "index.html": "text/html; charset=utf-8",
        "app.mjs": "text/javascript; charset=utf-8",
        "model/model.onnx": "application/octet-stream",
        "model/manifest.json": "application/json",
        "app.webmanifest": "application/manifest+json",
        "style.css": "text/css; charset=utf-8",
        "favicon.svg": "image/svg+xml",
        f"{RUNTIME}/ort.wasm.min.mjs": "text/javascript; charset=utf-8",
        f"{RUNTIME}/ort-wasm-simd-threaded.wasm": "application/wasm",
        f"{NODE_MODULES}/papaparse/papaparse.min.js": "text/javascript; charset=utf-8",
        f"{NODE_MODULES}/uplot/dist/uPlot.min.css": "text/css; charset=utf-8",
    }
    folder = project_by_hand(tmp_path / "project", *types, "README.md", "package.json", ".npmrc")
    (tmp_path / "secret.json").write_text("{}")
    links = ("style.svg", "link.json", f"{RUNTIME}/link.mjs")
    for name in links:
        (folder / name).symlink_to(tmp_path / "secret.json")
    others = ("package-lock.json", "notes.html", f"{RUNTIME}/x.map", "node_modules/x/x.mjs")
    for name in (*others, f"{RUNTIME}/.x.mjs"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    with serve(folder) as url:
        assert url.startswith("http://127.0.0.1:")
        for name, kind in types.items():
            status, headers, data = asked(url, f"/{name}")
            assert (status, headers["Content-Type"], data.decode()) == (200, kind, name)
            assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-cache"
        assert asked(url, "/")[2] == asked(url, "/?x=1")[2] == b"index.html"
        outside = ("/../secret.json", "/%2e%2e/secret.json", "/model/../../secret.json")
        unasked = ("README.md", "package.json", ".npmrc", SUMS_FILE, f"{RUNTIME}/.x.mjs")
        hidden = (f"/{name}" for name in (*links, *others, *unasked))
        for path in (*outside, *hidden, "/..%5csecret.json", "//secret.json", "/model/", "/model"):
            assert asked(url, path)[0] == 404, path
        taken = int(url.rstrip("/").rpartition(":")[2])
        with refused(StorageError, str(taken), "choose another"), serve(folder, taken):
            pass
    with pytest.raises(ConnectionRefusedError):
        asked(url, "/")
    with refused(MalformedError, "no page"), serve(tmp_path):
        pass
    assert capfd.readouterr() == ("", "")


def test_the_server_answers_its_own_names_and_two_methods(tmp_path: Path) -> None:
    with serve(project_by_hand(tmp_path, "index.html")) as url:
        port = url.rstrip("/").rpartition(":")[2]
        for host in (f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
            assert asked(url, "/", Host=host)[0] == 200
        for host in (f"evil.example:{port}", "127.0.0.1", "localhost", f"localhost:{port}1", ""):
            status, _, data = asked(url, "/", Host=host)
            assert status == 421
            assert b"index.html" not in data
        assert asked(url, "/", "HEAD")[::2] == (200, b"")
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert asked(url, "/", method)[0] == 501
        with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b" 421 " in client.recv(100)


def test_a_browser_that_is_not_there_is_said_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with refused(UnavailableError, "Chromium is not installed", "apt-get install chromium"):
        replay_in_browser("http://127.0.0.1:1/")


def test_playwright_that_is_not_there_is_said_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "find_browser", lambda: "/usr/bin/chromium")
    monkeypatch.setitem(__import__("sys").modules, "playwright.sync_api", None)
    with refused(
        UnavailableError, "Playwright is not installed", "-m pip install 'playwright>=1.49'"
    ):
        replay_in_browser("http://127.0.0.1:1/")


def test_a_page_without_a_result_is_not_waited_for_forever(tmp_path: Path, browser: Any) -> None:
    with serve(project_by_hand(tmp_path, "index.html")) as url, ThreadPoolExecutor(1) as pool:
        future = pool.submit(replay_in_browser, url, timeout=0.5)
        with refused(UnavailableError, url, "Timeout"):
            future.result()
