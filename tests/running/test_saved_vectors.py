# SPDX-License-Identifier: BSD-3-Clause
"""Singular vectors in files: what a scan and a comparison save, and what happens on failure."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.support.changed import update, weights, written

import sigmascope as ss

OPTIONS: dict[str, Any] = {"k": 4, "tol": 1e-6, "num_threads": 2, "memory_limit": "1GiB"}


def model(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "layers.0.self_attn.q_proj.weight": weights(40, 30, rng),
        "layers.0.mlp.up/proj.weight": weights(50, 30, rng),
        "norm.weight": np.ones(30),
    }


@pytest.mark.parametrize("effort", ["top", "density", "exact"])
def test_a_scan_saves_the_triplets_of_every_matrix(tmp_path: Path, effort: str) -> None:
    tensors = model()
    folder = tmp_path / "made" / "vectors"
    scan = ss.scan(written(tmp_path, tensors, "F32"), effort=effort, vectors=folder, **OPTIONS)
    assert {path.name for path in folder.iterdir()} == {
        "layers.0.self_attn.q_proj.weight.safetensors",
        "layers.0.mlp.up%2Fproj.weight.safetensors",
    }
    saved = ss.open_checkpoint(folder)
    for row in scan.analysed:
        name, W = row["name"], tensors[row["name"]].astype(np.float32)
        U, Vt = (np.asarray(saved[f"{name}.{part}"], dtype=np.float64) for part in ("U", "Vt"))
        assert U.shape == (W.shape[0], 4)
        np.testing.assert_allclose(U.T @ U, np.eye(4), atol=1e-5)
        np.testing.assert_allclose(np.sum((U.T @ W) * Vt, axis=1), row["top"], rtol=1e-4)
        svd = ss.spectrum(W, effort=effort, vectors=True, **OPTIONS).svd
        assert svd is not None
        bounds = load_file(folder / f"{name.replace('/', '%2F')}.safetensors")
        for part in ("errors", "residuals"):
            assert bounds[f"{name}.{part}"].tobytes() == getattr(svd, part).tobytes()


def test_a_comparison_saves_those_of_before_after_and_change(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    before = model()
    after = {n: x + (update(x, 0.1, rng, 3) if x.ndim == 2 else 0) for n, x in before.items()}
    ss.compare(
        written(tmp_path / "a", before, "F32"),
        written(tmp_path / "b", after, "F32"),
        vectors=tmp_path / "v",
        **OPTIONS,
    )
    name = "layers.0.mlp.up/proj.weight"
    saved = ss.open_checkpoint(tmp_path / "v" / "layers.0.mlp.up%2Fproj.weight.safetensors")
    D = (after[name].astype(np.float32) - before[name].astype(np.float32)).astype(np.float64)
    for group, W in (("before", before[name]), ("after", after[name]), ("delta", D)):
        U, Vt = (np.asarray(saved[f"{name}.{group}.{x}"], dtype=np.float64) for x in ("U", "Vt"))
        s = np.linalg.svd(W, compute_uv=False)
        np.testing.assert_allclose(np.sum((U.T @ W) * Vt, axis=1)[:3], s[:3], rtol=1e-4)


def test_a_resumed_scan_keeps_the_files_that_are_there(tmp_path: Path) -> None:
    path, journal = written(tmp_path, model(), "F32"), tmp_path / "run.jsonl"
    ss.scan(path, vectors=tmp_path / "v", resume=journal, **OPTIONS)
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "v").iterdir()}
    ss.scan(path, vectors=tmp_path / "v", resume=journal, **OPTIONS)
    assert times == {p: p.stat().st_mtime_ns for p in (tmp_path / "v").iterdir()}
    with pytest.raises(ValueError, match="vectors was"):
        ss.scan(path, vectors=tmp_path / "other", resume=journal, **OPTIONS)


def test_a_full_disk_fails_the_row_and_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path, journal = written(tmp_path, model(), "F32"), tmp_path / "run.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", full)
        scan = ss.scan(path, vectors=tmp_path / "v", resume=None, **OPTIONS)
    assert {row["failure"] for row in scan.failed} == {"environment"}
    assert "No space left" in scan.failed[0]["reason"]
    assert list((tmp_path / "v").iterdir()) == []
    again = ss.scan(path, vectors=tmp_path / "v", resume=journal, **OPTIONS)
    assert not again.failed
    assert len(list((tmp_path / "v").iterdir())) == 2


def test_a_folder_that_is_a_file_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "v").write_text("not a folder")
    with pytest.raises(FileExistsError, match="v"):
        ss.scan(written(tmp_path, model(), "F32"), vectors=tmp_path / "v", **OPTIONS)


def test_long_names_get_files_of_their_own(tmp_path: Path) -> None:
    one, two = ("layers." + "é" * 200 + end for end in ("a", "b"))
    matrices = {one: np.eye(3), two: np.diag([3.0, 2.0, 1.0])}
    ss.scan(matrices, vectors=tmp_path / "v", **OPTIONS)
    paths = list((tmp_path / "v").iterdir())
    assert len(paths) == 2
    assert all(len(path.name.encode()) < 255 for path in paths)
    saved = ss.open_checkpoint(tmp_path / "v")
    for name, A in matrices.items():
        np.testing.assert_allclose(np.asarray(saved[f"{name}.U"]).shape, A.shape)
