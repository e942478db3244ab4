# SPDX-License-Identifier: BSD-3-Clause
"""A matrix that was made against a known seed, and the drawn seed that finds what it hides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.checkpoints import of_array, write_file
from tests.support.command_line import invoke
from tests.support.hidden_directions import hiding_matrix

import sigmascope as ss
from sigmascope.results import Scan

W = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def crafted() -> NDArray[np.float32]:
    """A matrix whose largest value, 1.6, seed 0 does not see."""
    A = hiding_matrix(900, 600, 0)
    assert np.linalg.svd(A, compute_uv=False)[0] == pytest.approx(1.6, rel=1e-6)
    return A


FINDERS: dict[str, Callable[..., float]] = {
    "svds": lambda A, **o: ss.svds(A, 4, **o).s[0],
    "values": lambda A, **o: ss.svds(A, 4, tol=1e-3, vectors=False, **o).s[0],
    "low_rank": lambda A, **o: ss.low_rank(A, 4, **o).s[0],
    "scan": lambda A, **o: ss.scan({W: A}, effort="top", k=4, **o).rows[0]["spectral_norm"],
}


@pytest.mark.parametrize("finder", FINDERS)
def test_a_drawn_seed_finds_what_is_hidden_from_a_known_one(
    finder: str, crafted: NDArray[np.float32]
) -> None:
    """The author of a matrix guesses a seed of 53 bits in one case of 9e15."""
    for _ in range(3):
        assert FINDERS[finder](crafted, seed=None) == pytest.approx(1.6, rel=1e-3)


def test_whoever_knows_the_seed_can_hide_the_largest_value(crafted: NDArray[np.float32]) -> None:
    """The documents claim it: where this fails, the start has become safe, and they may say so."""
    exact: dict[str, Any] = {"precision": "float64", "block": 16, "tol": 1e-2}  # few roundings
    svd = ss.svds(crafted, 4, seed=0, **exact)
    assert svd.converged
    assert svd.s[0] + svd.errors[0] < 1.2
    other = hiding_matrix(900, 600, 7)
    assert ss.svds(other, 4, seed=7, **exact).s[0] == pytest.approx(1.0, rel=1e-3)
    assert ss.svds(other, 4, seed=0, **exact).s[0] == pytest.approx(1.6, rel=1e-3)


def test_commands_draw_a_seed(crafted: NDArray[np.float32], tmp_path: Path) -> None:
    path = write_file(tmp_path / "model.safetensors", of_array(W, "F32", crafted))
    out = tmp_path / "scan.jsonl"
    how = ("--effort", "top", "-k", 4, "--quiet", "--out", out)
    assert invoke("scan", path, *how)[0] == 0
    assert Scan.load(out).rows[0]["spectral_norm"] == pytest.approx(1.6, rel=1e-3)
