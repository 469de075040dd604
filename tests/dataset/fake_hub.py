"""A hub on loopback: as much of its HTTP API as pushing and loading a data set needs.

Repositories are dicts from path to bytes, one for each commit. Files that end in `.parquet` go
through LFS, others come with the commit, as on the real one. Its address is read when
`huggingface_hub` is imported: use it from a process of its own, with `HF_ENDPOINT` set.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = {"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "n>1T"}


@dataclass
class Repository:
    """A data set's repository."""

    commits: list[tuple[str, dict[str, bytes]]] = field(
        default_factory=lambda: [("0" * 40, {".gitattributes": b""})]
    )

    @property
    def files(self) -> dict[str, bytes]:
        """Those of the last commit."""
        return self.commits[-1][1]

    def at(self, revision: str) -> tuple[str, dict[str, bytes]]:
        """A commit by its hash; any other name is the last one."""
        return next((each for each in self.commits if each[0] == revision), self.commits[-1])

    def commit(self, lines: list[dict[str, Any]], objects: dict[str, bytes]) -> str | None:
        """Carry out a commit; None if its parent is not the last one."""
        files = dict(self.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "header" and value.get("parentCommit") not in {
                None,
                self.commits[-1][0],
            }:
                return None
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        sha = hashlib.sha1(f"{len(self.commits)}".encode()).hexdigest()  # noqa: S324
        self.commits.append((sha, files))
        return sha


@dataclass
class FakeHub:
    """What the hub holds, and what it was asked."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    conflicts_left: int = 0
    """So many commits of a card are refused, as if somebody else had committed in between."""
    refuses_cards: bool = False
    """Commits of a card are refused for good."""


def problems(readme: str) -> list[str]:
    """What the hub would say of a README's front matter."""
    match = re.match(r"---\n(.*?)\n---\n", readme, re.DOTALL)
    data = yaml.safe_load(match[1]) if match else None
    if not isinstance(data, dict):
        return ["no front matter"]
    found = []
    if not all(isinstance(tag, str) and 0 < len(tag) < 64 for tag in data.get("tags", [])):
        found.append("tags must be short strings")
    if not set(data.get("size_categories", [])) <= SIZES:
        found.append("no such size category")
    if "configs" in data and not all("config_name" in each for each in data["configs"]):
        found.append("a config without a name")
    return found


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def _send(self, status: int, body: object = None, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        self.hub.asked.append(f"{self.command} {path}")
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            found = problems(json.loads(body)["content"])
            errors = [{"message": each} for each in found]
            return self._send(400 if found else 200, {"errors": errors, "warnings": []})
        if path.startswith("/lfs/"):
            self.hub.objects[path.removeprefix("/lfs/")] = body
            return self._send(200)
        if match := re.fullmatch(r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self._batch(json.loads(body))
        match = re.fullmatch(
            r"/(?:api/)?datasets/([^/]+/[^/]+)(?:/(\w[\w-]*)/([^/]+)(?:/(.*))?)?", path
        )
        repository = self.hub.repositories.get(match[1]) if match else None
        if match is None or repository is None:
            return self._send(404, {"error": "no"}, X_Error_Code="RepoNotFound")
        return self._of_repository(match[1], repository, match[2], match[3], match[4] or "", body)

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _create(self, body: dict[str, Any]) -> None:
        name = f"{body.get('organization') or 'someone'}/{body['name']}"
        self.hub.repositories.setdefault(name, Repository())
        self._send(200, {"url": f"{self.hub.url}/datasets/{name}", "name": name})

    def _batch(self, body: dict[str, Any]) -> None:
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{each['oid']}"}}}
            for each in body["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def _of_repository(  # noqa: PLR0911  # one for each verb
        self,
        name: str,
        repository: Repository,
        verb: str | None,
        revision: str,
        path: str,
        body: bytes,
    ) -> None:
        sha, files = repository.at(revision)
        if verb in {None, "revision"}:
            siblings = [{"rfilename": each} for each in files]
            info = {"_id": "0" * 24, "id": name, "sha": sha, "siblings": siblings, "tags": []}
            return self._send(200, {**info, "private": False, "downloads": 0, "likes": 0})
        if verb == "preupload":
            modes = [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if each["path"].endswith(".parquet") else "regular",
                    "shouldIgnore": False,
                }
                for each in json.loads(body)["files"]
            ]
            return self._send(200, {"files": modes})
        if verb == "commit":
            return self._commit(name, repository, [json.loads(line) for line in body.splitlines()])
        if verb == "tree":
            return self._tree(files, path)
        if verb == "paths-info":
            wanted = self._paths(body)
            return self._send(200, [_entry(each, files[each]) for each in wanted if each in files])
        if verb == "resolve" and path in files:
            return self._resolve(sha, files[path])
        return self._send(404, {"error": "no"}, X_Error_Code="EntryNotFound")

    @staticmethod
    def _paths(body: bytes) -> list[str]:
        try:
            return json.loads(body)["paths"]
        except ValueError:  # it comes as a form
            return [
                unquote(each.partition("=")[2])
                for each in body.decode().split("&")
                if each.startswith("paths=")
            ]

    def _commit(self, name: str, repository: Repository, lines: list[dict[str, Any]]) -> None:
        is_card = any("distilabel/" in str(line["value"].get("path")) for line in lines)
        if is_card and self.hub.refuses_cards:
            return self._send(403, {"error": "no cards here"})
        if is_card and self.hub.conflicts_left:
            self.hub.conflicts_left -= 1
            return self._send(412, {"error": "the parent has moved"})
        sha = repository.commit(lines, self.hub.objects)
        if sha is None:
            return self._send(412, {"error": "the parent has moved"})
        url = f"{self.hub.url}/datasets/{name}/commit/{sha}"
        return self._send(200, {"commitUrl": url, "commitOid": sha, "success": True})

    def _tree(self, files: dict[str, bytes], folder: str) -> None:
        prefix = f"{folder.rstrip('/')}/" if folder else ""
        inside = {each.removeprefix(prefix) for each in files if each.startswith(prefix)}
        if not inside:
            return self._send(404, {"error": "no"}, X_Error_Code="EntryNotFound")
        entries = [
            _entry(prefix + each, files[prefix + each]) for each in inside if "/" not in each
        ]
        entries += [
            {"type": "directory", "path": prefix + each, "oid": "0" * 40, "size": 0}
            for each in {each.partition("/")[0] for each in inside if "/" in each}
        ]
        return self._send(200, entries)

    def _resolve(self, sha: str, data: bytes) -> None:
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X_Repo_Commit": sha}
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            end = min(int(match[2] or len(data) - 1), len(data) - 1)
            part = data[int(match[1]) : end + 1]
            headers["Content_Range"] = f"bytes {match[1]}-{end}/{len(data)}"
            return self._send(206, part, **headers)
        return self._send(200, data, **headers)

    do_GET = do_POST = do_PUT = do_HEAD = _answer  # noqa: N815  # as http.server calls them


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "file",
        "path": path,
        "size": len(data),
        "oid": hashlib.sha1(data).hexdigest(),  # noqa: S324
    }
    if path.endswith(".parquet"):
        sha = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"oid": sha, "size": len(data), "pointerSize": 100}
    return entry


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """Serve one on a free port."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
