# SPDX-License-Identifier: BSD-3-Clause
"""Servers that send next to nothing: they are given up, and Ctrl-C ends every wait for them."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file
from tests.support.file_server import FileServer, Request
from tests.support.remote import give_up_after, served

import sigmascope as ss
from sigmascope.errors import CheckpointError

A = np.random.default_rng(0).standard_normal((1200, 900)).astype(np.float32)
HANG = 60.0
"""Seconds after which Ctrl-C counts as unheard: without it, calls wait longer for a server."""


class SlowServer(FileServer):
    """A server that answers reads slowly, from byte `slow_from` of a file on.

    By its `manner` it sends nothing ("silent"), headers and nothing else ("headers"), or a byte now
    and then ("drip"): after `at_once` bytes, `drips` times, and all that is left in the end.
    """

    manner = "drip"
    slow_from = 1 << 60
    times = drips = 1 << 60
    at_once = 0
    awaited = ""
    """Name of the file whose requests are waited for; by default that of any."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reached, self.released = threading.Event(), threading.Event()

    def respond(self, handler: BaseHTTPRequestHandler, request: Request) -> bool:
        path = self.folder / request.file
        if request.start < self.slow_from or self.times <= 0 or not path.is_file():
            return False
        self.times -= 1
        if self.manner == "silent":
            self._pause(request, HANG * 10)
            return True
        size = path.stat().st_size
        stop = min(request.stop or size, size)
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {request.start}-{stop - 1}/{size}")
        handler.send_header("Content-Length", str(stop - request.start))
        handler.send_header("ETag", self.tag(path) or "")
        handler.end_headers()
        content = path.read_bytes()[request.start : stop]
        handler.wfile.write(content[: self.at_once])
        end = self.at_once + self.drips
        for byte in content[self.at_once : end]:
            if self.manner == "drip":
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
            if self._pause(request, 0.05 if self.manner == "drip" else HANG * 10):
                break
        else:
            handler.wfile.write(content[end:])
        handler.close_connection = True
        return True

    def _pause(self, request: Request, seconds: float) -> bool:
        if self.awaited in request.file:
            self.reached.set()
        return self.released.wait(seconds)

    def close(self) -> None:
        self.released.set()
        super().close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SlowServer]:
    write_file(tmp_path / "model.safetensors", of_array("w", "F32", A))
    with served(tmp_path, SlowServer) as running:
        yield running


# ------------------------------------------------------------------------------- the least rate


@pytest.mark.slow
def test_a_dripping_server_is_given_up(server: SlowServer, monkeypatch: pytest.MonkeyPatch) -> None:
    give_up_after(monkeypatch, 0.15)
    url = f"{server.url}/model.safetensors"
    far = ss.open_checkpoint(url)
    server.slow_from = 1
    with pytest.raises(CheckpointError) as caught:
        ss.svds(far["w"], 1)
    for words in (
        f"{url}: tensor 'w', bytes ",
        "the server is too slow, also after retries: fewer than ",
        " s, but at least 1024 bytes a second are needed: check the network",
    ):
        assert words in str(caught.value)
    server.slow_from = 0
    with pytest.raises(CheckpointError, match=r"model\.safetensors: the server is too slow"):
        ss.open_checkpoint(url)


def test_a_server_that_began_fast_is_given_up_too(
    server: SlowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = ss.open_checkpoint(f"{server.url}/model.safetensors")
    server.slow_from, server.at_once, server.drips = 1, 100_000, 400
    give_up_after(monkeypatch, 0.1)
    with pytest.raises(CheckpointError, match="the server is too slow"):
        far["w"].load()


def test_a_server_that_recovers_is_tried_again(
    server: SlowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = ss.open_checkpoint(f"{server.url}/model.safetensors")
    server.slow_from, server.times = 1, 1
    give_up_after(monkeypatch, 0.3, rate=100)  # of a loaded machine, too
    np.testing.assert_array_equal(np.asarray(far["w"].load()), A)
    assert server.times == 0


# ------------------------------------------------------------------------------- Ctrl-C

OPEN = "far = ss.open_checkpoint(url)"
CALLS = {
    "open": ("", OPEN),
    "load": (OPEN, "far['w'].load()"),
    "asarray": (OPEN, "import numpy; numpy.asarray(far['w'])"),
    "svds": (OPEN, "ss.svds(far['w'], 1)"),
    # The engine reads ahead in a thread of its own, and the main thread waits in native code.
    "panels": (OPEN, "ss.svds(far['w'], 1, memory_limit='1MB', num_threads=2)"),
    "moments": (OPEN, "ss.moments(far['w'], memory_limit='1MB')"),
    "difference": (OPEN, "ss.compare(far, far, effort='top', k=1, memory_limit='1GB')"),
    "scan": (OPEN, "ss.scan(far, effort='top', k=1)"),
}


@contextmanager
def calling(url: str, before: str, call: str) -> Iterator[subprocess.Popen[str]]:
    """A process that prints a line, and then makes a call."""
    code = f"import sigmascope as ss\nurl = {url!r}\n{before}\nprint('go', flush=True)\n{call}"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def interrupt(process: subprocess.Popen[str]) -> str:
    """Send Ctrl-C, and return what the process prints before it ends."""
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=HANG)[0]


MANNERS = ["drip", "headers", "silent"]

ENDS = ("KeyboardInterrupt\n", "ScanInterrupted\n")

# Makes one call after another, as it is told to, and tells how each ended.
CALLER = """
import json, sys
for line in sys.stdin:
    try:
        url, before, call = json.loads(line)
        exec(before)
        print("go", flush=True)
        exec(call)
    except BaseException as error:
        print(type(error).__name__, flush=True)
"""


@pytest.mark.parametrize(
    "manner", [*(pytest.param(name, marks=pytest.mark.slow) for name in MANNERS[:-1]), "silent"]
)
def test_ctrl_c_ends_every_wait(manner: str, server: SlowServer) -> None:
    """The calls follow each other in one process, each with a file of its own."""
    server.manner = manner
    with calling("", "", CALLER) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name, call in CALLS.items():
            server.slow_from = 0 if name == "open" else 1
            server.awaited = f"{name}.safetensors"
            os.link(server.folder / "model.safetensors", server.folder / server.awaited)
            server.reached.clear()
            request = json.dumps([f"{server.url}/{server.awaited}", *call])
            print(request, file=process.stdin, flush=True)
            assert process.stdout.readline() == "go\n", name
            assert server.reached.wait(HANG), name
            process.send_signal(signal.SIGINT)
            printed = process.stdout.readline()
            if printed.startswith("Exception ignored in"):
                # Python dropped it, since it was removing a weak reference to a task that ended.
                while printed and not printed.startswith("KeyboardInterrupt"):
                    printed = process.stdout.readline()
                process.send_signal(signal.SIGINT)
                printed = process.stdout.readline()
            assert printed in ENDS, name


def test_ctrl_c_before_a_request_begins_leaves_no_coroutine(
    server: SlowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python would print that a coroutine was never awaited, after the call has ended."""

    def interrupt(*_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio.BaseEventLoop, "call_soon_threadsafe", interrupt)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with pytest.raises(KeyboardInterrupt):
            ss.open_checkpoint(f"{server.url}/model.safetensors")
        gc.collect()
    assert not [warning for warning in shown if "never awaited" in str(warning.message)]
    far = ss.open_checkpoint(f"{server.url}/model.safetensors")
    np.testing.assert_array_equal(far["w"], A)


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_ends_a_process_that_waits(call: str, server: SlowServer) -> None:
    before, called = CALLS[call]
    server.manner = MANNERS[list(CALLS).index(call) % len(MANNERS)]
    server.slow_from = 0 if call == "open" else 1
    with calling(f"{server.url}/model.safetensors", before, called) as process:
        assert server.reached.wait(HANG)
        printed = interrupt(process)
    assert "KeyboardInterrupt" in printed or "ScanInterrupted" in printed
    assert process.returncode == (1 if "ScanInterrupted" in printed else -signal.SIGINT)


@pytest.mark.parametrize(
    "url",
    ["{}", pytest.param("{}/model.safetensors", marks=pytest.mark.slow)],
    ids=["a folder", "a file"],
)
def test_ctrl_c_ends_the_wait_for_a_server_that_never_answers(url: str) -> None:
    """Also where several files are asked for at the same time, as in a folder."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listening:
        where = url.format(f"http://127.0.0.1:{listening.getsockname()[1]}")
        with calling(where, "", OPEN) as process:
            assert "KeyboardInterrupt" in interrupt(process)
    assert process.returncode == -signal.SIGINT


@pytest.mark.slow
def test_ctrl_c_ends_a_command(server: SlowServer) -> None:
    url = f"{server.url}/model.safetensors"
    command = [sys.executable, "-m", "sigmascope", "scan", url, "-q", "--effort", "top"]
    server.slow_from = 1
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert server.reached.wait(HANG)
        interrupt(process)
    finally:
        process.kill()
    assert process.returncode == 130
