# SPDX-License-Identifier: BSD-3-Clause
"""Angles between singular subspaces of circuits: only across gaps, and within their errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import sigmascope as ss

Array = NDArray[np.float64]
SELF, RANK, WIDTH = "model.layers.0.self_attn", 8, 24
SETTINGS = {
    "model_type": "llama",
    "num_attention_heads": 1,
    "hidden_size": WIDTH,
    "head_dim": RANK,
}


class Model:
    """One head in memory, with the settings of its model."""

    class config:  # noqa: N801 - as transformers calls it
        @staticmethod
        def to_dict() -> dict[str, Any]:
            return SETTINGS

    def __init__(self, q: Array, k: Array) -> None:
        names = {"q": q, "k": k, "v": 2 * k, "o": 3 * q.T}
        self.tensors = {f"{SELF}.{part}_proj.weight": x for part, x in names.items()}

    def state_dict(self) -> dict[str, Array]:
        return self.tensors


def orthonormal(seed: int) -> Array:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((WIDTH, WIDTH)))[0]


def model(U: Array, s: Array, V: Array) -> Model:
    """A head with W_q^T W_k = U diag(s) V^T, in a random basis of the head."""
    mixed = np.random.default_rng(7).standard_normal((RANK, RANK)) + 3 * np.eye(RANK)
    q: Array = np.linalg.solve(mixed.T, (U[:, :RANK] * s).T).astype(np.float64)
    return Model(q, mixed @ V[:, :RANK].T)


def compared(one: Model, two: Model, k: int = 64) -> dict[str, Any]:
    """The row of W_q^T W_k."""
    checkpoints = [ss.open_checkpoint(each, circuits=True) for each in (one, two)]
    return ss.compare(*checkpoints, k=k).rows[0]


def turned(U: Array, angle: float, i: int, j: int) -> Array:
    """Turn the directions i and j of a basis in their plane."""
    result = U.copy()
    result[:, i] = math.cos(angle) * U[:, i] + math.sin(angle) * U[:, j]
    result[:, j] = math.cos(angle) * U[:, j] - math.sin(angle) * U[:, i]
    return result


U, V = orthonormal(0), orthonormal(1)
STEP = np.array([8.0, 7.9, 7.8, 1.0, 0.9, 0.8, 0.7, 0.6])


@pytest.mark.parametrize("angle", [0.0, 1e-7, 1e-3, 0.3, 1.5])
def test_angles_are_those_of_planted_subspaces(angle: float) -> None:
    """Direction 3 turns out of the leading three, and leaves the row space of the others."""
    row = compared(model(U, STEP, V), model(turned(U, angle, 2, 20), STEP, V), k=5)
    assert len(row["angles_left"]) == 4  # the largest dimension below k with a gap
    assert max(row["angles_left"]) == pytest.approx(angle, abs=2e-8)
    assert max(row["angles_right"]) < 2e-8
    assert row["angles_left_error"] < 1e-8


@pytest.mark.parametrize("gap", [0.0, 1e-15, 1e-14])
def test_directions_without_a_gap_have_no_angles(gap: float) -> None:
    """All leading values are equal, so any rotation of their vectors is as true."""
    values: Array = 1 + gap * np.arange(RANK, dtype=np.float64)[::-1]
    row = compared(model(U, values, V), model(turned(U, 0.3, 0, 20), values, V), k=4)
    for column in ("angles_left", "angles_right", "angles_left_error", "angles_right_error"):
        assert row[column] is None
    # The whole row space is separated from the directions of value 0.
    whole = compared(model(U, values, V), model(turned(U, 0.3, 0, 20), values, V))
    assert len(whole["angles_left"]) == RANK
    assert max(whole["angles_left"]) == pytest.approx(0.3, abs=1e-8)


@pytest.mark.parametrize("exponent", range(3, 15))
def test_the_error_holds_where_the_gap_shrinks(exponent: int) -> None:
    """A change of the size of the errors turns the subspace by less than the error, or is silent.

    The true angle between both is 0: the second model has the same subspaces in another basis of
    the head, which rounds otherwise.
    """
    values = np.array([1, 1 + 10.0**-exponent, *np.full(6, 0.1)])[[1, 0, *range(2, 8)]]
    one = model(U, values, V)
    q, k = (one.tensors[f"{SELF}.{part}_proj.weight"] for part in "qk")
    mixed = np.random.default_rng(3).standard_normal((RANK, RANK)) + 3 * np.eye(RANK)
    row = compared(one, Model(np.linalg.solve(mixed.T, q), mixed @ k), k=2)
    angles = row["angles_left"]
    if angles is None:
        assert exponent > 8
        return
    # The exact products differ by the rounding of their factors, which the error leaves out.
    rounding = 1e-14 * 10.0**exponent
    assert max(angles) <= row["angles_left_error"] + rounding + 2e-8
    assert exponent < 13


def test_changes_in_a_basis_of_the_head_leave_the_circuit() -> None:
    """W_q^T W_k does not depend on the basis inside the head, though both factors change."""
    one = model(U, STEP, V)
    q, k = (one.tensors[f"{SELF}.{part}_proj.weight"] for part in "qk")
    basis = np.linalg.qr(np.random.default_rng(5).standard_normal((RANK, RANK)))[0]
    row = compared(one, Model(basis @ q, basis @ k))
    assert row["relative_change"] < 1e-14
    assert max(row["angles_left"]) < 2e-8
