# SPDX-License-Identifier: BSD-3-Clause
"""Checks of checkpoints in shards, here and on a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.support.command_line import invoke
from tests.support.file_server import Fault, FileServer, Request
from tests.support.lineage_models import Weights, random_model, tuned

from sigmascope.provenance import check, verify

BASE = random_model(1)
DONOR = tuned(BASE, 1, 0.01)
LAST = "model-00002-of-00002.safetensors"
CLAIMS = ["linear", "lineage", "relative<=.1", "survived>=.9"]


def merged(weight: float) -> Weights:
    wide = {key: x.astype(np.float64) for key, x in BASE.items()}
    return {
        key: (x + weight * (DONOR[key].astype(np.float64) - x)).astype(np.float32)
        for key, x in wide.items()
    }


def write_shards(folder: Path, model: Weights, count: int) -> Path:
    """Write a model as shards whose index names the file of each tensor."""
    folder.mkdir()
    files = [f"model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]
    names = list(model)
    places = {name: files[i * count // len(names)] for i, name in enumerate(names)}
    for file in files:
        own = {n: np.ascontiguousarray(model[n]) for n in names if places[n] == file}
        save_file(own, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_shards(root / "base", BASE, 3)
    write_shards(root / "merged", merged(0.5), 2)
    write_shards(root / "donor", DONOR, 1)
    return root


@pytest.fixture
def server(folder: Path) -> Iterator[FileServer]:
    pytest.importorskip("obstore")
    with FileServer(folder).running() as running:
        yield running


def numbers(record: Any) -> Any:
    """Return a record without the places of its files and what is counted in bytes."""
    left_out = ("base", "merged", "donors", "donor", "before", "after", "names", "nbytes", "notes")
    if isinstance(record, dict):
        return {key: numbers(x) for key, x in record.items() if key not in left_out}
    return [numbers(x) for x in record] if isinstance(record, list) else record


def test_shards_decide_as_one_file_does(folder: Path) -> None:
    """Each file of both models is read, and tensors of a pair are in different shards."""
    result = check(folder / "base", folder / "merged", CLAIMS, donors=folder / "donor")
    assert result.verdict == "confirmed", result
    whole = check(BASE, merged(0.5), CLAIMS, donors=DONOR)
    assert {d.expectation: d.verdict for d in whole.decisions} == {
        d.expectation: d.verdict for d in result.decisions
    }
    assert {row["name"]: row["relative"] for row in whole.rows} == {
        row["name"]: row["relative"] for row in result.rows
    }


def test_numbers_of_a_server_are_those_of_the_disk(folder: Path, server: FileServer) -> None:
    url = server.url
    claims = [claim for claim in CLAIMS if claim != "lineage"]
    remote = check(f"{url}/base", f"{url}/merged", claims, donors=f"{url}/donor")
    local = check(folder / "base", folder / "merged", claims, donors=folder / "donor")
    assert remote.verdict == "confirmed", remote
    assert numbers(remote.to_dict()) == numbers(local.to_dict())


def test_each_tensor_of_a_server_is_read_once(folder: Path, server: FileServer) -> None:
    """Several passes over blocks of 131,072 numbers would read a small tensor dozens of times."""
    result = verify(folder / "base", f"{server.url}/merged", folder / "donor")
    assert result.verdict == "confirmed"
    reads = [request for request in server.requests if request.file.endswith(".safetensors")]
    assert len(reads) < len(BASE) + 10


def test_a_remote_model_shares_an_origin(folder: Path, server: FileServer) -> None:
    """RR and H do not read remote files; the tests of units do."""
    result = check(f"{server.url}/base", folder / "merged", "lineage")
    assert result.verdict == "confirmed", result
    assert result.lineage is not None
    assert result.lineage.tests["RR"].reason


def test_the_command_takes_urls(folder: Path, server: FileServer) -> None:
    paths = f"{server.url}/base", f"{server.url}/merged"
    status, output, _ = invoke("check", *paths, "--expect", "identical")
    assert status == 3
    assert "identical: refuted" in output
    assert invoke("check", *paths, "--expect", "relative<=.1")[0] == 0
    assert invoke("check", paths[0], f"{server.url}/nothing", "--expect", "identical")[0] == 2


def test_a_missing_shard_is_never_confirmed(folder: Path, tmp_path: Path) -> None:
    """The index names a file that was not uploaded."""
    broken = write_shards(tmp_path / "broken", merged(0.5), 2)
    (broken / LAST).unlink()
    status, _, error = invoke("check", folder / "base", broken, "--expect", "linear")
    assert status == 2
    assert LAST in error


def test_a_shard_that_ends_early_is_named(folder: Path, tmp_path: Path) -> None:
    broken = write_shards(tmp_path / "broken", merged(0.5), 2)
    path = broken / LAST
    path.write_bytes(path.read_bytes()[:-100])
    status, _, error = invoke("check", folder / "base", broken, "--expect", "linear")
    assert status == 2
    assert path.name in error


def test_a_server_that_fails_leaves_the_claim_open(folder: Path) -> None:
    """The weights of one tensor cannot be read: the row has the reason."""
    pytest.importorskip("obstore")
    size = (folder / "merged" / LAST).stat().st_size

    def answer(request: Request) -> Fault | None:
        late = request.file.endswith(f"merged/{LAST}") and request.start > size // 2
        return Fault(status=404) if late else None

    with FileServer(folder).running() as server:
        server.answer = answer
        result = verify(folder / "base", f"{server.url}/merged", folder / "donor")
    assert result.verdict == "undetermined", result
    failed = [row for row in result.rows if row["status"] == "failed"]
    assert failed
    assert all(row["reason"] for row in failed)
