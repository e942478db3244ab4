# SPDX-License-Identifier: BSD-3-Clause
"""Each term of the errors of comparisons and extractions, in a case where no other hides it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.adapters import lora, write_adapter
from tests.support.analyses import let_densities_cost_as_little_as_the_top

import sigmascope as ss
from sigmascope.adapters import open_adapter

Array = NDArray[np.float64]

MODULE = "model.layers.0.self_attn.q_proj"
WEIGHT = f"{MODULE}.weight"

SUMS = 2.0**-44
"""Error of a sum over the entries of two matrices, relative to both norms."""


def test_values_of_the_projected_change_may_be_off_by_the_part_that_was_projected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That part is a small multiple of W, whose largest value a loose tolerance leaves uncertain.

    By Weyl's theorem each value of dW - c W is one of dW within |c| times that value.
    """
    let_densities_cost_as_little_as_the_top(monkeypatch)
    n = 512
    before = np.diag(np.linspace(2.0, 1.0, n))
    delta = np.zeros((n, n))
    delta[0, 1], delta[5, 9], delta[2, 2] = 1 / 4, 1 / 8, 2.0**-16
    row = ss.compare(
        {"w": before}, {"w": before + delta}, k=2, effort="density", tol=1e-2, num_threads=1
    )["w"]
    assert "distance" in row["method"]
    largest, error = row["before_top"][0], row["before_top_errors"][0]
    assert error > 1e-4 * largest
    own = np.array(row["delta_top_errors"])
    assert np.all(own > 0)
    errors = own + row["decay_coefficient"] * (largest + error)
    np.testing.assert_allclose(row["projected_top_errors"], errors, rtol=1e-10)


def test_a_change_between_adapters_has_the_rounding_of_both_decompositions(
    tmp_path: Path,
) -> None:
    """That of one product and that of the difference are both near that of the sums."""
    rng = np.random.default_rng(0)
    A = rng.integers(-4, 5, (4, 40)).astype(np.float32)
    B = rng.integers(-4, 5, (48, 4)).astype(np.float32)
    folders = [tmp_path / name for name in ("one", "two")]
    for folder, factor in zip(folders, (B, 2 * B), strict=True):
        write_adapter(folder, lora(MODULE, factor, A), r=4)
    row = ss.compare(*folders, num_threads=1)[WEIGHT]
    one, two = (open_adapter(folder)[WEIGHT] for folder in folders)
    lost = [svd.errors[0] / svd.fro_norm for svd in (one.svd(), (two - one).svd())]
    assert min(lost) > 0.1 * SUMS
    relative = row["relative_change_error"] / row["relative_change"]
    assert relative == pytest.approx(SUMS + sum(lost), rel=1e-9, abs=0)


def extracted(delta: Array, folder: Path) -> tuple[dict[str, Any], Array, Array]:
    """Return the row of an extraction of rank 1 in bfloat16, and both vectors as stored."""
    extraction = ss.extract(
        {WEIGHT: np.zeros_like(delta)}, {WEIGHT: delta}, folder, rank=1, dtype="bfloat16", tol=1e-12
    )
    product = open_adapter(folder)[WEIGHT]
    assert product.scale == 1.0
    B, A = (np.asarray(x, dtype=np.float64) for x in (product.B, product.A))
    return extraction[WEIGHT], B[:, 0], A[0]


INEXACT = np.sqrt(np.arange(1.0, 17)) / math.sqrt(136)
EXACT = np.full(16, 0.25)
"""Two vectors of norm 1; no short format holds the first."""


@pytest.mark.parametrize(
    ("left", "right"), [(INEXACT, EXACT), (EXACT, INEXACT), (INEXACT, INEXACT[::-1])]
)
def test_factors_bound_the_largest_value_of_what_remains_with_their_rounding(
    left: Array, right: Array, tmp_path: Path
) -> None:
    """All other values are 2^-10, and the factors are rounded to 8 bits."""
    delta, zeros = 2.0**-10 * np.eye(100), np.zeros(84)
    delta[:16, :16] = np.outer(left, right)
    row, B, A = extracted(delta, tmp_path / "adapter")
    largest = np.linalg.norm(delta - np.outer(B, A), 2)
    assert 1.2 * 2.0**-10 < largest <= row["spectral_bound"] < row["remaining"]
    off_b, off_a = (
        float(np.linalg.norm(np.abs(stored) - np.append(exact, zeros)))
        for stored, exact in ((B, left), (A, right))
    )
    bound = 2.0**-10 + off_b + off_a + off_b * off_a
    assert row["spectral_bound"] == pytest.approx(bound, rel=1e-7, abs=0)


def test_factors_leave_no_value_above_the_norm_of_what_remains_with_its_error(
    tmp_path: Path,
) -> None:
    """Nothing but their rounding remains of a change of rank 1."""
    delta = np.outer(INEXACT, INEXACT[::-1])
    row, B, A = extracted(delta, tmp_path / "adapter")
    assert row["remaining"] + row["remaining_error"] > row["remaining"]
    assert row["spectral_bound"] == row["remaining"] + row["remaining_error"]
    assert np.linalg.norm(delta - np.outer(B, A), 2) <= row["spectral_bound"]


def test_numbers_of_tensors_without_a_spectrum_have_the_rounding_of_their_norms() -> None:
    """The change of a norm has that of both."""
    one, two = np.array([3.0, 4.0]), np.array([6.0, 8.0])
    row = ss.compare({"norm": one}, {"norm": two})["norm"]
    assert row["status"] == "entrywise"
    for side, size in (("before", 5.0), ("after", 10.0), ("delta", 5.0)):
        assert row[f"{side}_fro_norm"] == size
        assert 0 < row[f"{side}_fro_norm_error"] <= 1e-12 * size
    errors = row["before_fro_norm_error"], row["after_fro_norm_error"]
    assert row["change_fro_norm_error"] == sum(errors)


NEAR, FAR = np.diag([1.0, 1 - 2.0**-10, 0.5, 0.25]), np.diag([4.0, 1.0, 0.5, 0.25])
"""Matrices whose first vector is known badly, and well: the gap is 2^-10 and 3/4 of sigma_1."""


@pytest.mark.parametrize(
    ("before", "after", "times"), [(NEAR, FAR, 1), (FAR, NEAR, 1), (NEAR, 2 * NEAR, 2)]
)
def test_angles_have_the_residuals_and_the_rounding_of_both_subspaces(
    before: Array, after: Array, times: int
) -> None:
    """Residuals are of 48 units, and so is their rounding, which adds as a square."""
    row = ss.compare({"w": before}, {"w": after}, k=2, num_threads=1)["w"]
    sine = math.sqrt(2) * 48 * 2.0**-53 * 2.0**10
    for side in ("left", "right"):
        assert row[f"angles_{side}_error"] == pytest.approx(times * sine, rel=0.01, abs=0)
