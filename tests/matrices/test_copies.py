# SPDX-License-Identifier: BSD-3-Clause
"""Copies of matrices: a deep copy has numbers of its own, in the layout of the original."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import sigmascope as ss

A = np.random.default_rng(0).standard_normal((30, 20))
LAYOUTS: dict[str, Callable[[np.ndarray[Any, Any]], Any]] = {
    "rows": lambda x: ss.matrix(x),
    "columns": lambda x: ss.matrix(np.asfortranarray(x)),
    "reversed": lambda x: ss.matrix(x[::-1, ::-2]),
    "steps": lambda x: ss.matrix(x[::3])[:, 1::4],
    "constant": lambda x: ss.matrix(np.broadcast_to(x[:, :1], x.shape)),
    "sum": lambda x: 2 * ss.matrix(x) - ss.matrix(x[::-1]),
    "shards": lambda x: ss.block([[ss.matrix(x[:7]), ss.matrix(x[:7])]]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_a_deep_copy_has_numbers_of_its_own(layout: str, dtype: Any) -> None:
    x = A.astype(dtype)
    a = LAYOUTS[layout](x)
    before = np.array(a)
    again = copy.deepcopy(a)
    s = ss.svdvals(a)
    assert (again.shape, again.storage) == (a.shape, a.storage)
    np.testing.assert_array_equal(np.array(again), before)
    np.testing.assert_array_equal(ss.svdvals(again).values, s.values)
    x[...] = 0
    np.testing.assert_array_equal(np.array(again), before)


def test_a_shallow_copy_is_the_matrix() -> None:
    a = ss.matrix(A)
    assert copy.copy(a) is a


def test_files_are_shared(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", A)
    a = ss.matrix(tmp_path / "a.npy")
    again = copy.deepcopy(a)
    assert not again.in_memory
    np.testing.assert_array_equal(np.array(again), A)
