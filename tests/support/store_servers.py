# SPDX-License-Identifier: BSD-3-Clause
"""Answers of a Hugging Face Hub, and of a bucket of S3, to those who read: on the loopback."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from tests.support.file_server import FileServer, Request, plain

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubServer(FileServer):
    """A hub with one model, org/model, whose files are those of the folder.

    Large files are redirected to another host, as the hub does, with a signature. A model with a
    `token` is private, a `gated` one is not open to this login.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.token = ""
        self.gated = False

    def respond(self, handler: BaseHTTPRequestHandler, request: Request) -> bool:
        path = urlsplit(request.path).path
        if path.startswith("/cdn/"):
            request.path = path.removeprefix("/cdn")
            return False
        login = request.headers.get("authorization", "")
        if self.gated:
            plain(handler, 403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "ask for it"})
        elif not path.removeprefix("/api/models").startswith("/org/model/") or (
            self.token and login != f"Bearer {self.token}"
        ):
            plain(handler, 401, {"X-Error-Code": "RepoNotFound"})
        elif path.startswith("/api/models/"):
            self._info(handler, path.rpartition("/revision/")[2])
        else:
            self._resolve(handler, path.removeprefix(f"/org/model/resolve/{COMMIT}/"))
        return True

    def _info(self, handler: BaseHTTPRequestHandler, revision: str) -> None:
        if revision not in ("main", "v1", "refs%2Fpr%2F3", COMMIT):
            plain(handler, 404, {"X-Error-Code": "RevisionNotFound"})
            return
        files = [p for p in sorted(self.folder.rglob("*")) if p.is_file()]
        names = [path.relative_to(self.folder).as_posix() for path in files]
        siblings = [{"rfilename": name} for name in names]
        info = {"id": "org/model", "modelId": "org/model", "sha": COMMIT, "siblings": siblings}
        data = json.dumps(info).encode()
        plain(handler, 200, {"Content-Type": "application/json"}, data)

    def _resolve(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        path = self.folder / name
        if not path.is_file():
            plain(handler, 404, {"X-Error-Code": "EntryNotFound"})
            return
        there = self.url.replace("127.0.0.1", "localhost")
        headers = {
            "Location": f"{there}/cdn/{name}?X-Amz-Signature=s1gnature",
            "X-Linked-Etag": self.tag(path) or "",
            "X-Linked-Size": str(path.stat().st_size),
            "X-Repo-Commit": COMMIT,
        }
        plain(handler, 302, headers)


class BucketServer(FileServer):
    """A bucket of S3, of any name, in path style: objects by ranges, and their list."""

    def respond(self, handler: BaseHTTPRequestHandler, request: Request) -> bool:
        parts = urlsplit(request.path)
        key = parts.path.lstrip("/").partition("/")[2]
        if key:
            request.path = f"/{key}"
            return False
        prefix = parse_qs(parts.query).get("prefix", [""])[0]
        results = [p for p in sorted((self.folder / prefix).glob("*")) if p.is_file()]
        entries = "".join(
            f"<Contents><Key>{escape(path.relative_to(self.folder).as_posix())}</Key>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;x&quot;</ETag>"
            f"<Size>{path.stat().st_size}</Size></Contents>"
            for path in results
        )
        text = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        plain(handler, 200, {"Content-Type": "application/xml"}, text.encode())
        return True
