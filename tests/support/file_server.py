# SPDX-License-Identifier: BSD-3-Clause
"""An HTTP server on the loopback that serves a folder by ranges, and fails where it is told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote


@dataclass
class Request:
    """A request as the server saw it."""

    method: str
    path: str  # with its query
    start: int
    stop: int | None
    headers: dict[str, str]

    @property
    def file(self) -> str:
        return unquote(self.path.partition("?")[0]).lstrip("/")


@dataclass
class Fault:
    """A wrong answer to one request.

    `status` is answered without data; `headers` are added; of the data only `sent` bytes are sent
    before the connection is cut; `wrong` bytes more (or fewer) than asked for are claimed and sent;
    `seconds` pass before the answer.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    sent: int | None = None
    wrong: int = 0
    seconds: float = 0.0


Answer = Callable[[Request], Fault | None]


class FileServer:
    """Files below `folder`; `answer` decides which requests are answered wrongly.

    Attributes
    ----------
    requests
        All requests, in the order of their arrival.
    sent_bytes
        Bytes of data of all answers.
    tags
        ETags by the name of a file; others are digests of the contents.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[Request] = []
        self.sent_bytes = 0
        self.answer: Answer = lambda request: None
        self.tags: dict[str, str | None] = {}
        self.ranges = True
        self.if_match = True
        self._known: dict[tuple[Path, int, int], str] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def asked(self, file: str) -> list[Request]:
        return [request for request in self.requests if request.file == file]

    def fail(self, *faults: Fault, file: str = "", least: int = 0) -> list[Fault]:
        """Answer the next reads of files with faults, one each; the list is of those left."""
        left = list(faults)

        def answer(request: Request) -> Fault | None:
            length = (request.stop or 0) - request.start
            with self._lock:
                wanted = request.method == "GET" and file in request.file and length >= least
                return left.pop(0) if wanted and left else None

        self.answer = answer
        return left

    def tag(self, path: Path) -> str | None:
        if path.name in self.tags:
            return self.tags[path.name]
        status = path.stat()
        key = path, status.st_size, status.st_mtime_ns
        if key not in self._known:
            self._known[key] = f'"{sha256(path.read_bytes()).hexdigest()}"'
        return self._known[key]

    def respond(self, handler: BaseHTTPRequestHandler, request: Request) -> bool:
        """Answer requests for something else than a file; True if this one was answered."""
        return False

    @contextmanager
    def running(self) -> Iterator[FileServer]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield self
        finally:
            self.close()
            thread.join()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                start, stop = _range(self.headers.get("Range", ""))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, start, stop, headers)
                with server._lock:
                    server.requests.append(request)
                fault = server.answer(request) or Fault()
                time.sleep(fault.seconds)
                try:
                    if fault.status or not server.respond(self, request):
                        server._send(self, request, fault)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler

    def _send(self, handler: BaseHTTPRequestHandler, request: Request, fault: Fault) -> None:
        path = self.folder / request.file
        tag = self.tag(path) if path.is_file() else None
        status = fault.status or (200 if path.is_file() else 404)
        if status == 200 and self.if_match and request.headers.get("if-match", tag) != tag:
            status = 412
        if status != 200:
            plain(handler, status, fault.headers)
            return
        size = path.stat().st_size
        part = self.ranges and "range" in request.headers
        start, stop = (request.start, min(request.stop or size, size)) if part else (0, size)
        if part and start >= size:
            plain(handler, 416, {"Content-Range": f"bytes */{size}"})
            return
        stop += fault.wrong
        handler.send_response(206 if part else 200)
        if part:
            handler.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        if tag is not None:
            handler.send_header("ETag", tag)
        for name, value in fault.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(stop - start))
        handler.end_headers()
        if request.method == "HEAD":
            return
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(stop - start)[: fault.sent]
        with self._lock:
            self.sent_bytes += len(data)
        handler.wfile.write(data)
        if fault.sent is not None:
            handler.close_connection = True
            handler.wfile.flush()
            handler.connection.close()


def plain(
    handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], data: bytes = b""
) -> None:
    """Send an answer of a few bytes."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(data)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(data)


def _range(text: str) -> tuple[int, int | None]:
    """Return the first byte and the one after the last of a Range header."""
    start, _, last = text.removeprefix("bytes=").partition("-")
    return int(start or 0), int(last) + 1 if last else None
