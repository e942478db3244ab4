# SPDX-License-Identifier: BSD-3-Clause
"""Arrays that would lose something are refused, wherever arrays are taken."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import Stored, write_file

import sigmascope as ss
from sigmascope.errors import CheckpointError
from sigmascope.streaming import GramAccumulator, LinearSketch, Sketch

A = np.random.default_rng(0).standard_normal((8, 6))
Z = A + 1j * np.random.default_rng(1).standard_normal((8, 6))
MASKED = np.ma.masked_greater(A, 1.0)
MASKED[0, 0] = np.ma.masked

DOORS: dict[str, Callable[[Any], object]] = {
    "matrix": ss.matrix,
    "svdvals": ss.svdvals,
    "svds": lambda x: ss.svds(x, 2),
    "randomized_svd": lambda x: ss.randomized_svd(x, 2),
    "spectrum": ss.spectrum,
    "spectral_density": ss.spectral_density,
    "moments": ss.moments,
    "hstack": lambda x: ss.hstack([A, x]),
    "block": lambda x: ss.block([[A], [x]]),
    "product": lambda x: ss.matrix(A.T) @ x,
    "LowRank": lambda x: ss.LowRank(x, A.T),
    "Sketch": lambda x: Sketch(6, 4).update(x),
    "GramAccumulator": lambda x: GramAccumulator(6).update(x),
    "extend": lambda x: GramAccumulator(6).extend([list(x)]),
    "LinearSketch": lambda x: LinearSketch((8, 6), 2).update(x),
    "update_outer": lambda x: LinearSketch((8, 8), 2).update_outer(x, A),
    "add_entries": lambda x: LinearSketch((8, 6), 2).add_entries([0] * 6, range(6), x[0]),
}


@pytest.mark.parametrize("door", DOORS)
def test_masks_and_imaginary_parts_are_not_dropped(door: str) -> None:
    with pytest.raises(TypeError, match=r"masked array is not supported.*filled"):
        DOORS[door](MASKED)
    with pytest.raises(TypeError, match=r"complex|real"):
        DOORS[door](Z)
    with pytest.raises(TypeError):
        DOORS[door](Z.astype(object))


def test_the_advice_for_complex_matrices_is_right() -> None:
    with pytest.raises(
        TypeError, match=r"np\.block\(\[\[A\.real, -A\.imag\], \[A\.imag, A\.real\]\]\)"
    ):
        ss.svdvals(Z)
    real = np.block([[Z.real, -Z.imag], [Z.imag, Z.real]])
    truth = np.repeat(np.linalg.svd(Z, compute_uv=False), 2)
    np.testing.assert_allclose(np.asarray(ss.svdvals(real)), truth, rtol=1e-12)


def test_the_advice_for_masks_is_right() -> None:
    rows = MASKED[~np.ma.getmaskarray(MASKED).any(1)].data
    assert np.asarray(ss.matrix(rows)).shape == rows.shape
    assert np.asarray(ss.matrix(MASKED.filled(0))).shape == A.shape


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((2, 2), object), "holds Python objects"),
        (np.ones((2, 2), np.longdouble), "rounds it"),
        (np.array([["a", "b"]]), "holds text, not numbers"),
        (np.array([["2020-01-01"]], "datetime64[D]"), "holds times, not numbers"),
        ([["a", "b"]], "holds text, not numbers"),
        ([[1j, 2.0]], "complex"),
        ([[2**70, 1j]], "complex"),
    ],
)
def test_the_advice_fits_the_dtype(x: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ss.matrix(x)


def test_sequences_of_numbers_are_taken() -> None:
    assert np.asarray(ss.matrix([[1, 2.5], [2**70, 3]])).tolist() == [[1, 2.5], [2.0**70, 3]]


def test_a_checkpoint_given_as_a_matrix(tmp_path: Path) -> None:
    path = write_file(tmp_path / "x.safetensors", Stored("w", "F32", (6, 4)))
    for each in (path, str(path), tmp_path):
        with pytest.raises(TypeError, match=r"a checkpoint of many: open_checkpoint\(.*\)\[name\]"):
            ss.svds(each, 2)
    (tmp_path / "x").write_bytes(b"<html> </html>")
    with pytest.raises(CheckpointError, match=r"x is not a readable \.npy file: an HTML page"):
        ss.svds(tmp_path / "x", 2)


@pytest.mark.filterwarnings("ignore")  # torch calls its quantised tensors deprecated
@pytest.mark.parametrize("kind", ["quantised", "oneDNN"])
def test_the_advice_for_layouts_of_torch_is_right(kind: str) -> None:
    """Tensors without plain numbers, in a call or in a state dict."""
    torch = pytest.importorskip("torch")
    numbers = torch.from_numpy(np.arange(12, dtype=np.float32).reshape(4, 3))
    x = torch.quantize_per_tensor(numbers, 1.0, 0, torch.qint8)
    cure = "dequantize"
    if kind == "oneDNN":
        x, cure = numbers.to_mkldnn(), "to_dense"
    message = rf"{kind}.*x\.{cure}\(\) (?:has|decodes) them"
    with pytest.raises(TypeError, match=message):
        ss.svds(x, 2)
    (row,) = ss.scan({"w": x}).rows
    assert re.search(message, row["reason"])
    np.testing.assert_array_equal(np.asarray(ss.matrix(getattr(x, cure)())), numbers)
