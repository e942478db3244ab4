# SPDX-License-Identifier: BSD-3-Clause
"""Floors of benchmarks: products counted by hand, and which of reading and products sets them."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from benchmarks.suites import floors

import sigmascope as ss

PEAK = {"fp32": 100.0, "fp64": 50.0, "bf16": 200.0, "tiles": 1000.0, "512": 10.0}


@pytest.mark.parametrize(
    ("dtype", "products"),
    [
        (np.float32, {"mixed": 1, "split": 3, "float32": 6}),
        (np.float16, {"mixed": 1, "split": 3, "float32": 5}),
        (ml_dtypes.bfloat16, {"mixed": 1, "split": 2, "float32": 3}),
        (ml_dtypes.float8_e4m3fn, {"mixed": 1, "split": 2, "float32": 3}),
    ],
)
def test_tiles_count_every_product_of_parts(
    dtype: type, products: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ss, "show_config", lambda: {"tiles": True})
    A = np.zeros((8, 16), dtype)
    for precision, count in products.items():
        assert floors.flops_of_products(A, 4, precision) == {"tiles": count * 2 * 8 * 16 * 4}


def test_without_tiles_only_a_mixed_search_may_use_dot_products(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ss, "show_config", lambda: {"tiles": False})
    A = np.zeros((8, 16), np.float32)
    types = {"mixed": floors.DOTS, "split": "fp32", "float32": "fp32", "float64": "fp64"}
    for precision, name in types.items():
        assert floors.flops_of_products(A, 4, precision) == {name: 2 * 8 * 16 * 4}


def test_the_larger_of_reading_and_products_is_the_floor() -> None:
    read = floors.Work(512, 5e9, {"fp64": 20e9})._asdict()
    assert floors.floor_of(read, PEAK) == {"floor": 0.5, "bound": "reads"}
    arithmetic = floors.Work(512, 5e9, {"fp64": 20e9, floors.DOTS: 60e9})._asdict()
    assert floors.floor_of(arithmetic, PEAK) == {"floor": pytest.approx(0.7), "bound": "products"}
    assert floors.floor_of(read, {}) == {}


def test_works_of_several_calls_add_up() -> None:
    A = np.zeros((8, 16))
    both = floors.every_value(A) + floors.search(A, passes=3, columns=2, precision="float64")
    assert both.size == A.nbytes
    assert both.read == 4 * A.nbytes
    assert both.flops == {"fp64": pytest.approx(16 * 8**2 + 4 / 3 * 8**3 + 2 * 2 * 8 * 16 * 2)}


def test_a_search_counts_its_steps_and_its_answer() -> None:
    A = np.random.default_rng(0).standard_normal((300, 400))
    top = ss.svds(A, 5, method="krylov", tol=1e-3)
    work = floors.search_of(A, top)
    columns = top.steps * top.block + 5
    assert top.steps > 1
    assert work.read == top.passes * A.nbytes
    assert work.flops == {"fp64": 4.0 * 300 * 400 * columns}
