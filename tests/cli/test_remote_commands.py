# SPDX-License-Identifier: BSD-3-Clause
"""The commands on URLs: what they print, save and refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command_line import completions, invoke
from tests.support.file_server import Fault, FileServer
from tests.support.remote import served
from tests.support.scans import bits, model

import sigmascope as ss
from sigmascope.results import Scan

SECRET = "s3cr3t"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    with served(model(tmp_path / "model")) as running:
        yield running


def address(server: FileServer) -> str:
    return server.url.replace("http://", f"http://user:{SECRET}@") + f"?signature={SECRET}"


def test_info_of_a_url(server: FileServer) -> None:
    status, text, _ = invoke("info", address(server), "--all")
    assert status == 0
    assert server.url in text
    assert "w.11" in text
    assert SECRET not in text


def test_scan_of_a_url_and_the_command_that_continues_it(
    server: FileServer, tmp_path: Path
) -> None:
    files = [tmp_path / f"x{suffix}" for suffix in (".jsonl", ".csv", ".html")]
    outputs = [word for file in files for word in ("--out", file)]
    how = ("--effort", "top", "-k", 2, "--seed", 0, "-q")
    status, text, errors = invoke("scan", address(server), *how, *outputs)
    assert status == 1  # one tensor holds NaN
    here = ss.scan(server.folder, effort="top", k=2)
    assert bits(Scan.load(files[0]).rows) == bits(here.rows)
    for written in [text, errors, *(file.read_text() for file in files)]:
        assert SECRET not in written
    server.answer = lambda request: Fault(status=503)
    status, text, errors = invoke("scan", f"{server.url}/x.safetensors")
    assert status == 2
    assert errors.startswith(f"sigmascope: {server.url}/x.safetensors: the server fails")


def test_the_plan_of_a_url(server: FileServer) -> None:
    status, text, _ = invoke("scan", server.url, "--plan", "--json")
    assert status == 0
    totals = json.loads(text.splitlines()[-1])["totals"]
    assert totals["checkpoint"] == server.url
    assert totals["rates"]["file"] > 0
    assert totals["read_bytes"] > 0
    status, text, _ = invoke("scan", server.url, "--plan")
    assert " read, in about " in " ".join(text.split())


def test_compare_with_a_url(server: FileServer) -> None:
    how = ("--effort", "top", "-k", 2, "-q", "--json")
    status, text, _ = invoke("compare", server.folder, address(server), *how)
    rows = [json.loads(line) for line in text.splitlines()]
    assert {row["relative_change"] for row in rows if row["status"] == "analysed"} == {0.0}
    assert SECRET not in text
    assert status == 1


@pytest.mark.slow
def test_series_of_urls(server: FileServer, tmp_path: Path) -> None:
    saved = tmp_path / "step-100.jsonl"
    ss.scan(server.folder, k=4, out=saved)
    how = ("--step", 100, "--step", 200, "--seed", 0, "-q")
    status, here, _ = invoke("trajectory", saved, server.folder, *how)
    assert status == 0
    assert invoke("trajectory", saved, address(server), *how)[:2] == (0, here)
    status, _, error = invoke("trajectory", saved, address(server), "-q")
    assert status == 2
    assert server.url in error
    assert SECRET not in error
    status, text, error = invoke("reference", saved, address(server), "--json", "-q")
    assert status == 0
    assert text
    assert SECRET not in text + error


def test_paths_are_completed_and_urls_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    assert completions("scan", "f") == ["file.safetensors", "folder/"]
    assert completions("scan", "hf://") == []
