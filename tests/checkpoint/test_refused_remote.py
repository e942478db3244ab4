# SPDX-License-Identifier: BSD-3-Clause
"""Servers and indexes that cannot be read: messages that say what happened, at once."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file
from tests.support.file_server import FileServer, Request, plain
from tests.support.remote import served

import sigmascope as ss
from sigmascope.errors import CheckpointError

A = np.random.default_rng(0).standard_normal((300, 200)).astype(np.float32)
INDEX = "model.safetensors.index.json"


class CompressingServer(FileServer):
    """A server that compresses the answers to reads, and states the range that was asked for."""

    def respond(self, handler: BaseHTTPRequestHandler, request: Request) -> bool:
        path = self.folder / request.file
        if not path.is_file():
            return False
        data, size = path.read_bytes(), path.stat().st_size
        stop = min(request.stop or size, size)
        sent = gzip.compress(data[request.start : stop])
        handler.send_response(206)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Range", f"bytes {request.start}-{stop - 1}/{size}")
        handler.send_header("Content-Length", str(len(sent)))
        handler.end_headers()
        handler.wfile.write(sent)
        return True


class RedirectingServer(FileServer):
    """A server whose every answer leads to itself."""

    def respond(self, handler: BaseHTTPRequestHandler, request: Request) -> bool:
        plain(handler, 302, {"Location": request.path})
        return True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_file(tmp_path / "model.safetensors", of_array("w", "F32", A))
    return tmp_path


def test_a_server_that_compresses_is_named(folder: Path) -> None:
    message = r"model\.safetensors: the server compresses its answers \('gzip'\)"
    with (
        served(folder, CompressingServer) as server,
        pytest.raises(CheckpointError, match=message),
    ):
        ss.open_checkpoint(f"{server.url}/model.safetensors")


def test_a_circle_of_redirects_is_named(folder: Path) -> None:
    message = "the server redirects in a circle, or too often: check the address"
    with (
        served(folder, RedirectingServer) as server,
        pytest.raises(CheckpointError, match=message),
    ):
        ss.open_checkpoint(f"{server.url}/model.safetensors")


@pytest.fixture
def indexed(tmp_path: Path) -> Iterator[FileServer]:
    with served(tmp_path) as server:
        yield server


def write_index(folder: Path, *shards: str) -> None:
    weights = {f"w.{number}": shard for number, shard in enumerate(shards)}
    (folder / INDEX).write_text(json.dumps({"weight_map": weights}))


@pytest.mark.parametrize("character", ["\n", "\r\nX: y", "\0", "\x1b[31m", "\t", "\x7f"])
def test_a_shard_with_a_control_character_is_not_a_file_name(
    character: str, indexed: FileServer
) -> None:
    """The message shows the character escaped, and no request has it."""
    shard = f"a{character}.safetensors"
    write_index(indexed.folder, shard)
    for place in (f"{indexed.url}/{INDEX}", indexed.folder):
        with pytest.raises(CheckpointError, match="is not a plain file name") as caught:
            ss.open_checkpoint(place)
        assert str(caught.value).isprintable()
        assert character not in str(caught.value)
    assert {request.file for request in indexed.requests} == {INDEX}


@pytest.mark.parametrize("name", ["a b.safetensors", "a-1_é.safetensors", ".hidden.safetensors"])
def test_unusual_names_of_shards_are_read(name: str, tmp_path: Path) -> None:
    write_file(tmp_path / name, of_array("w.0", "F32", A))
    write_index(tmp_path, name)
    assert list(ss.open_checkpoint(tmp_path / INDEX)) == ["w.0"]


def test_an_index_of_missing_shards_asks_for_a_few_of_them(indexed: FileServer) -> None:
    """The first missing file ends the search on a server that lists none."""
    write_index(indexed.folder, *(f"{number}.safetensors" for number in range(3000)))
    with pytest.raises(CheckpointError, match=r"safetensors: there is no such file \(404"):
        ss.open_checkpoint(f"{indexed.url}/{INDEX}")
    assert len(indexed.requests) < 100
    with pytest.raises(CheckpointError, match=r"shards missing from the folder: .*2995 more"):
        ss.open_checkpoint(indexed.folder)
