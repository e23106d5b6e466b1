"""Firefox without a window, told what to do by WebDriver BiDi, which it speaks itself.

The commands are those of https://www.w3.org/TR/webdriver-bidi/. Playwright, which drives Chromium
in the other tests, asks Firefox of Debian for commands that it does not have.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tiny import installed, missing

from pipeline.embed.target import Program

FIREFOX = Program("firefox-esr", others=("firefox",))
TIMEOUT = 60.0  # seconds, for Firefox to start, to answer, and for a page to come so far
PAUSE = 0.05  # seconds between two looks at a page


class Tab:
    """A tab of Firefox; ``said`` is its console, ``asked`` the addresses of its requests."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._ids = count()
        self.said: list[str] = []
        self.asked: list[str] = []
        self._command("session.new", capabilities={})
        self._command("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        self._context = self._command("browsingContext.create", type="tab")["context"]

    def _command(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a command; events that come before it are kept."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=TIMEOUT))
            if message["type"] == "event":
                self._keep(message["method"], message["params"])
            elif message["id"] == number:
                assert message["type"] == "success", message
                result: dict[str, Any] = message["result"]
                return result

    def _keep(self, event: str, facts: dict[str, Any]) -> None:
        if event == "log.entryAdded":
            self.said.append(f"{facts['level']}: {facts['text']}")
        elif event == "network.beforeRequestSent":
            self.asked.append(facts["request"]["url"])

    def open(self, url: str) -> None:
        """Load ``url``, with all that the document itself names."""
        self._command("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript, once its promise is kept."""
        answer = self._command(
            "script.evaluate",
            expression=f"Promise.resolve({expression}).then(JSON.stringify)",
            target={"context": self._context},
            awaitPromise=True,
        )
        assert answer["type"] == "success", answer
        return json.loads(answer["result"].get("value", "null"))

    def text(self, selector: str) -> str:
        """The text of an element as it is seen."""
        found: str = self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")
        return found

    def wait_for(self, condition: str) -> None:
        """Wait until an expression of JavaScript is true."""
        end = monotonic() + TIMEOUT
        while not self.evaluate(condition):
            assert monotonic() < end, f"it never came: {condition}"
            sleep(PAUSE)

    def choose(self, selector: str, file: Path) -> None:
        """Put a file into a field for files, as the user would."""
        nodes = self._command(
            "browsingContext.locateNodes",
            context=self._context,
            locator={"type": "css", "value": selector},
        )["nodes"]
        element = {"sharedId": nodes[0]["sharedId"]}
        self._command("input.setFiles", context=self._context, element=element, files=[str(file)])


def find_firefox() -> str:
    """The path of Firefox; see :func:`tiny.missing`."""
    path = FIREFOX.find()
    if path is None:
        missing(f"Firefox is not installed; 'apt-get install {FIREFOX.debian}' gets it")
    return path


@contextmanager
def firefox(profile: Path) -> Iterator[Tab]:
    """A tab of a Firefox with a new profile, which ends with the block."""
    connect = installed("websockets.sync.client").connect
    command = [find_firefox(), "--headless", "--no-remote", "--remote-debugging-port=0"]
    profile.mkdir()
    with subprocess.Popen(
        [*command, "--profile", str(profile)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            address = profile / "WebDriverBiDiServer.json"  # which Firefox writes once it listens
            end = monotonic() + TIMEOUT
            while not address.exists() or not address.read_text():
                assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
                assert monotonic() < end, f"{command[0]} does not listen"
                sleep(PAUSE)
            found = json.loads(address.read_text())
            url = f"ws://{found['ws_host']}:{found['ws_port']}/session"
            with connect(url, max_size=None, open_timeout=TIMEOUT) as socket:
                yield Tab(socket)
        finally:
            process.terminate()
