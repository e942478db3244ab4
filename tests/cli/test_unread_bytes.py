# SPDX-License-Identifier: BSD-3-Clause
"""Most bytes of a file are in no number: terminal, page and exit status say so first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.support.command_line import invoke


def file_of(path: Path, codes: int, dtype: str = "int8") -> Path:
    """Write a matrix of 4,800 bytes, and a matrix of that many bytes whose meaning is not known."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((40, 30)).astype(np.float32)
    rows = codes // 10 // np.dtype(dtype).itemsize
    save_file({"w": w, "codes": rng.integers(0, 2, (rows, 10)).astype(dtype)}, path)
    return path


@pytest.mark.parametrize(("codes", "omitted"), [(4800, False), (4810, True)])
def test_both_sides_of_half(tmp_path: Path, codes: int, omitted: bool) -> None:
    page = tmp_path / "page.html"
    path = file_of(tmp_path / "a.safetensors", codes)
    status, out, _ = invoke("scan", path, "--quiet", "--out", page)
    sentence = "Only 4.8 kB of 9.61 kB were analysed. Not analysed: 1 integer tensor."
    assert status == int(omitted)
    lines = [line for line in out.splitlines() if line.strip()]
    assert (lines[1] == sentence) is omitted
    assert (sentence in page.read_text()) is omitted


def test_tensors_that_the_user_excludes_do_not_count(tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.safetensors", 9600)
    status, out, _ = invoke("scan", path, "--quiet", "--exclude", "codes")
    assert (status, "Only" in out) == (0, False)


def test_second_names_do_not_count(tmp_path: Path) -> None:
    """One matrix under four names is read once, and nothing of the file is left out."""
    torch = pytest.importorskip("torch")
    w = torch.randn(40, 30, generator=torch.Generator().manual_seed(0))
    torch.save(dict.fromkeys("abcd", w), tmp_path / "model.pt")
    status, out, _ = invoke("scan", tmp_path / "model.pt", "--quiet")
    assert (status, "Only" in out) == (0, False)


def test_a_comparison_names_what_it_did_not_compare(tmp_path: Path) -> None:
    """A file of codes, and its original under other names: only the small matrix has a partner."""
    before = file_of(tmp_path / "a.safetensors", 40_000)
    after = tmp_path / "b.safetensors"
    rng = np.random.default_rng(0)
    save_file({"w": rng.standard_normal((40, 30)).astype(np.float32)}, after)
    status, out, _ = invoke("compare", before, after, "--quiet")
    assert status == 1
    assert out.splitlines()[1] == (
        "Only 9.6 kB of 49.6 kB were compared. Not compared: 1 tensor without a partner."
    )
