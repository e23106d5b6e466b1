"""Where the files of a page come from, and how a server is asked for them."""

import http.client
from email.message import Message
from pathlib import Path

from pipeline.embed.sums import SUMS_FILE, sums_file

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
