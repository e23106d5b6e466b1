"""Serves a page to the browsers of this machine, and asks a browser how the replay went."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from pipeline.errors import BY_EXIT_CODE, MalformedError, StorageError, UnavailableError
from pipeline.packages import how_to_install

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # containers run as root, where Chromium has none
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
_TYPES = {
    "": "application/octet-stream",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
_REPLAY = "#replay:not(:empty)"  # a script element with the line of JSON
_TIMEOUT = 120.0  # seconds, for a page to load and to replay


class _Handler(SimpleHTTPRequestHandler):
    """Files of one folder, with the types and headers that the page needs; nothing else."""

    extensions_map = _TYPES

    def end_headers(self) -> None:
        """Isolate the page, which makes its clock exact, and let nothing be kept unasked."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def send_head(self) -> Any:
        """A file inside the folder, where links may not lead out of it."""
        folder, path = Path(self.directory).resolve(), Path(self.translate_path(self.path))
        if not path.resolve().is_relative_to(folder):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def list_directory(self, path: Any) -> None:
        """No lists of files."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class _Server(ThreadingHTTPServer):
    """Ends without waiting for browsers that keep a connection open."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away in the middle of a file is nothing to tell of."""


@contextmanager
def serve(folder: Path, port: int = 0) -> Iterator[str]:
    """Serve ``folder`` to this machine only, for as long as the block runs; gives the URL.

    Port 0 takes one that is free.

    Raises:
        MalformedError: ``folder`` is not a browser project: it has no index.html.
        StorageError: The port is in use, or not allowed.

    """
    if not (folder / "index.html").is_file():
        raise MalformedError(f"no index.html in {folder}; give the folder of a browser project")
    try:
        server = _Server(("127.0.0.1", port), partial(_Handler, directory=str(folder)))
    except OSError as error:
        reason = f"cannot serve on port {port}: {error.strerror}"
        raise StorageError(f"{reason}; choose another") from error
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def find_browser() -> str:
    """The path of Chromium.

    Raises:
        UnavailableError: There is none on this machine.

    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise UnavailableError("Chromium is not installed; 'apt-get install chromium' gets it")
    return found


def replay_in_browser(url: str, timeout: float = _TIMEOUT) -> dict[str, Any]:
    """Open the page at ``url`` in Chromium without a window; what its replay found.

    Raises:
        UnavailableError: Playwright or Chromium is not there or does not start, the page has no
            result after ``timeout`` seconds, or it could not load its runtime.
        MalformedError: The page refused the model: a file is missing, malformed, or newer.
        IntegrityError: The page refused a file that is not the manifest's.

    """
    path = find_browser()
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        reason = f"Playwright is not installed; run {how_to_install('playwright')}"
        raise UnavailableError(reason) from error
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            try:
                page = browser.new_page()
                page.goto(url)
                replay = page.locator(_REPLAY)
                replay.wait_for(state="attached", timeout=1000 * timeout)
                found: dict[str, Any] = json.loads(replay.text_content() or "{}")
            finally:
                browser.close()
    except Error as error:
        reason = error.message.splitlines()[0]
        raise UnavailableError(f"{path} gave no result for {url}: {reason}") from error
    if "error" in found:
        raise BY_EXIT_CODE.get(found["code"], MalformedError)(found["error"])
    return found
