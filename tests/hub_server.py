"""A stand-in for the Hugging Face Hub: the part of its HTTP API that push and load use.

It asks for a token where the Hub does, takes large files by the protocol of git-lfs and
small ones in the commit, and serves every commit that was made.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_secretsecretsecret"
LARGE = (".onnx", ".pt", ".safetensors")


@dataclass
class Hub:
    """The repositories: their commits in order, each as files by name; and what was asked."""

    url: str = ""
    repositories: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    stored: dict[str, bytes] = field(default_factory=dict)  # by git-lfs, by SHA-256
    log: list[str] = field(default_factory=list)
    broken: bool = False

    def files(self, repository: str) -> dict[str, bytes]:
        """The files of the newest commit."""
        return [*self.repositories[repository].values()][-1]

    def commit(self, repository: str, files: dict[str, bytes]) -> str:
        """Add a commit of these files alone; returns its name."""
        commits = self.repositories.setdefault(repository, {})
        name = hashlib.sha1(repr((len(commits), repository)).encode()).hexdigest()
        commits[name] = files
        return name


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def answer(
            self, status: int, content: Any = None, data: bytes = b"", **headers: str
        ) -> None:
            body = data if content is None else json.dumps(content).encode()
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def refuse(self, status: int, code: str) -> None:
            """Refuse as the Hub does, and say the token, which nobody may print."""
            sent = self.headers.get("Authorization", "")
            self.answer(
                status, {"error": f"{code} {sent}"}, X_Error_Code=code, X_Error_Message=f"no {sent}"
            )

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def is_known(self) -> bool:
            return self.headers.get("Authorization") == f"Bearer {TOKEN}"

        def do_POST(self) -> None:
            path, data = unquote(urlsplit(self.path).path), self.body()
            hub.log.append(f"POST {path}")
            if hub.broken:
                return self.refuse(500, "Broken")
            if not self.is_known():
                return self.refuse(401, "Unauthorized")
            if path == "/api/repos/create":
                return self.create(json.loads(data))
            if path == "/api/validate-yaml":
                text = json.loads(data)["content"]
                yaml.safe_load(text.split("---")[1])
                return self.answer(200, {"errors": [], "warnings": []})
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
                return self.preupload(json.loads(data))
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
                return self.commit(found[1], [json.loads(line) for line in data.splitlines()])
            if found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
                actions = [
                    {**one, "actions": {"upload": {"href": f"{hub.url}/lfs/{one['oid']}"}}}
                    for one in json.loads(data)["objects"]
                ]
                return self.answer(200, {"transfer": "basic", "objects": actions})
            return self.answer(404, {})

        def create(self, asked: dict[str, Any]) -> None:
            repository = f"{asked['organization']}/{asked['name']}"
            found = {"url": f"{hub.url}/{repository}"}
            if repository in hub.repositories:
                return self.answer(409, found)
            hub.commit(repository, {".gitattributes": b""})
            if asked.get("private") or asked.get("visibility") == "private":
                hub.private.add(repository)
            return self.answer(200, found)

        def preupload(self, asked: dict[str, Any]) -> None:
            def mode(path: str) -> str:
                return "lfs" if path.endswith(LARGE) else "regular"

            files = [
                {"path": one["path"], "uploadMode": mode(one["path"]), "shouldIgnore": False}
                for one in asked["files"]
            ]
            self.answer(200, {"files": files})

        def commit(self, repository: str, lines: list[dict[str, Any]]) -> None:
            files = dict(hub.files(repository))
            for line in lines:
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = hub.stored[value["oid"]]
            name = hub.commit(repository, files)
            url = f"{hub.url}/{repository}/commit/{name}"
            self.answer(200, {"commitUrl": url, "commitOid": name})

        def do_PUT(self) -> None:
            oid, data = self.path.rpartition("/")[2], self.body()
            hub.log.append(f"PUT {self.path}")
            if hashlib.sha256(data).hexdigest() != oid:
                return self.answer(400, {})
            hub.stored[oid] = data
            return self.answer(200, {})

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.log.append(f"{self.command} {path}")
            api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path)
            file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
            found = api or file
            repository = found[1] if found else ""
            if hub.broken:
                return self.refuse(500, "Broken")
            if repository not in hub.repositories or (
                repository in hub.private and not self.is_known()
            ):
                return self.refuse(401, "RepoNotFound")
            commits = hub.repositories[repository]
            asked = (api[3] if api else file[2]) if found and (api or file) else None  # type: ignore[index]
            name = [*commits][-1] if asked in (None, "main") else asked
            if name not in commits:
                return self.refuse(404, "RevisionNotFound")
            files = commits[str(name)]
            if file:
                if file[3] not in files:
                    return self.refuse(404, "EntryNotFound")
                data = files[file[3]]
                etag = hashlib.sha256(data).hexdigest()
                return self.answer(200, data=data, ETag=f'"{etag}"', X_Repo_Commit=str(name))
            assert api
            if api[2] == "tree":
                return self.answer(200, [_entry(path, data) for path, data in files.items()])
            card = files.get("README.md", b"").decode()
            listed = [{"rfilename": path, "size": len(data)} for path, data in files.items()]
            content = {"id": repository, "sha": name, "siblings": listed}
            if card.startswith("---\n"):
                content["cardData"] = yaml.safe_load(card.split("---\n")[1])
            return self.answer(200, content)

    return Handler


def _entry(path: str, data: bytes) -> dict[str, Any]:
    oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return {"type": "file", "path": path, "size": len(data), "oid": oid}


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """An empty Hub on a free port of this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
