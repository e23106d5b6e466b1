"""Serves a page to the browsers of this machine, and asks a browser how the replay went."""

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

from pipeline.embed.sums import read_sums
from pipeline.embed.target import Program
from pipeline.errors import BY_EXIT_CODE, MalformedError, StorageError, UnavailableError
from pipeline.packages import how_to_install

CHROMIUM = Program("chromium", others=("chromium-browser", "google-chrome"))
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
_PAGE = "index.html"
_FOR_THE_BUILD = {"README.md", "package.json"}
_FROM_NPM = re.compile(
    r"node_modules/(onnxruntime-web/dist/[a-z0-9][a-z0-9.-]*\.(mjs|wasm)"
    r"|papaparse/papaparse\.min\.js|uplot/dist/uPlot\.(iife\.min\.js|min\.css))"
)
_REPLAY = "#replay:not(:empty)"  # a script element with the line of JSON
_HTTP_PORT = 80  # which browsers leave out
_TIMEOUT = 120.0  # seconds, for a page to load and to replay


class _Handler(SimpleHTTPRequestHandler):
    """The files that the page needs, with the types and headers that it needs; nothing else."""

    extensions_map = _TYPES
    server: "_Server"

    def parse_request(self) -> bool:
        """Refuse a request to another host: a name of a stranger's that leads here is not ours."""
        if not super().parse_request():
            return False
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return False
        return True

    def end_headers(self) -> None:
        """Isolate the page, which makes its clock exact, and let nothing be kept unasked."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def send_head(self) -> Any:
        """A file that the page needs, where links may not lead out of the folder."""
        name = unquote(self.path.partition("?")[0]).removeprefix("/") or _PAGE
        folder = Path(self.directory).resolve()
        is_needed = name in self.server.names or _FROM_NPM.fullmatch(name)
        if not is_needed or not (folder / name).resolve().is_relative_to(folder):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def list_directory(self, path: Any) -> None:
        """No lists of files."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class _Server(ThreadingHTTPServer):
    """Ends without waiting for browsers that keep a connection open.

    ``names`` are the files that it gives, beside those from npm.
    """

    daemon_threads = True

    def __init__(self, folder: Path, port: int, names: Collection[str]) -> None:
        super().__init__(("127.0.0.1", port), partial(_Handler, directory=str(folder)))
        self.names = names
        own = ("127.0.0.1", "localhost", "[::1]")
        self.hosts = {f"{host}:{self.server_port}" for host in own}
        if self.server_port == _HTTP_PORT:
            self.hosts |= set(own)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away in the middle of a file is nothing to tell of."""


@contextmanager
def serve(folder: Path, port: int = 0) -> Iterator[str]:
    """Serve the project in ``folder`` to this machine only, while the block runs; gives the URL.

    What it gives is what the page loads: files that its ``SHA256SUMS`` names and that are not for
    the build, and the runtime and the libraries that npm put there. Port 0 takes one that is free.

    Raises:
        MalformedError: ``folder`` is not a browser project: it has no index.html of ours.
        IntegrityError: Its ``SHA256SUMS`` is damaged.
        StorageError: The port is in use, or not allowed.

    """
    written = read_sums(folder) or {}
    if _PAGE not in written or not (folder / _PAGE).is_file():
        raise MalformedError(f"no page in {folder}; give the folder of a browser project")
    names = {name for name in written.keys() - _FOR_THE_BUILD if not name.startswith(".")}
    try:
        server = _Server(folder, port, names)
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
    found = CHROMIUM.find()
    if found is None:
        raise UnavailableError(
            f"Chromium is not installed; 'apt-get install {CHROMIUM.debian}' gets it"
        )
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
