"""Where the files of a page come from, and how a server is asked for them."""

import http.client
import os
import shutil
import subprocess
from email.message import Message
from pathlib import Path

import pytest
from shared import once, shared
from tiny import missing, tool

from pipeline.bundle import Bundle
from pipeline.embed.browser import server
from pipeline.embed.project import write_project
from pipeline.embed.sums import SUMS_FILE, sums_file
from pipeline.embed.targets import find_target

CLIENT = Path(server.__file__).with_name("client")

NODE_MODULES = "node_modules"
RUNTIME = f"{NODE_MODULES}/onnxruntime-web/dist"
LIBRARIES = {
    f"{NODE_MODULES}/{name}"
    for name in (
        "papaparse/papaparse.min.js",
        "uplot/dist/uPlot.iife.min.js",
        "uplot/dist/uPlot.min.css",
    )
}


def asked(url: str, path: str, method: str = "GET", **headers: str) -> tuple[int, Message, bytes]:
    """The answer to ``path``, sent as it is."""
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, answer.headers, data


def project_by_hand(folder: Path, *names: str) -> Path:
    """A project of files that hold their own names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / SUMS_FILE).write_bytes(sums_file({name: name.encode() for name in names}))
    return folder


def install_libraries(factory: pytest.TempPathFactory) -> Path:
    """The folder ``node_modules``, as npm installs what package.json asks for."""

    def make(folder: Path) -> None:
        folder.mkdir()
        shutil.copy(CLIENT / "package.json", folder)
        command = [tool("npm"), "install", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            missing(f"npm cannot install what the page needs: {done.stderr[-300:]}")

    return once(shared(factory) / "npm", make) / NODE_MODULES


def write_page(bundle: Bundle, libraries: Path, folder: Path) -> Path:
    """``folder`` with the project of a bundle, and its libraries in place."""
    write_project(bundle, find_target("browser"), folder)
    for package in ("onnxruntime-web/dist", "papaparse", "uplot"):
        place = folder / NODE_MODULES / package
        shutil.copytree(libraries / package, place, copy_function=os.link)
    return folder
