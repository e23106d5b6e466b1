"""ONNX Runtime in a page."""

from pathlib import Path

from pipeline.contract.files import ONNX_FILE
from pipeline.embed.browser.server import CHROMIUM, replay_in_browser, serve
from pipeline.embed.javascript import INSTALL, MODULES, NPM
from pipeline.embed.target import CLIENT, Page, Target

TARGET = Target(
    name="browser",
    title="browser",
    help="ONNX Runtime as WebAssembly, in a page that works offline: text as it comes, a live "
    "forecast with its quantiles, a module fed by hand or from CSV, the parity measured in that "
    "browser",
    limits="To validate it, Playwright is needed, from pip",
    clients=(MODULES, Path(__file__).with_name(CLIENT)),
    file=ONNX_FILE,
    loops=("generate", "forecast"),
    programs=(NPM, CHROMIUM),
    build=lambda: (INSTALL,),
    page=Page(serve, replay_in_browser),
)
