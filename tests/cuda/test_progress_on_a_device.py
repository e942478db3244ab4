# SPDX-License-Identifier: BSD-3-Clause
"""The bytes that a call on a simulated device reports while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support.tiers import short

import sigmascope as ss

pytestmark = pytest.mark.unsanitized

ROWS, COLUMNS, PANEL = 300, 40, 128


def search(a: ss.Matrix, **options: Any) -> int:
    return ss.randomized_svd(a, 3, passes=2, **options).passes


def search_in_float64(a: ss.Matrix, **options: Any) -> int:
    return search(a, precision="float64", **options)


def survey(a: ss.Matrix, **options: Any) -> int:
    ss.moments(a, **options)
    return 1


CALLS = {"tensor cores": search, "float64": search_in_float64, "survey": survey}


@pytest.mark.parametrize(
    ("call", "dtype"),
    short(
        ["tensor cores, bfloat16", "float64, float16"],
        {
            f"{name}, {dtype.__name__}": (call, dtype)
            for name, call in CALLS.items()
            for dtype in (np.float32, ml_dtypes.bfloat16, np.float16)
        },
    ),
)
@pytest.mark.usefixtures("simulated")
def test_every_panel_is_reported_by_its_stored_bytes(call: Callable[..., int], dtype: Any) -> None:
    """Reports follow at least 50 ms after each other, which this listener takes itself.

    The first pass has the panels of the call. A matrix that stays on the device has taller ones.
    """
    reports: list[int] = []

    def listen(done: int) -> None:
        reports.append(done)
        time.sleep(0.051)

    numbers = np.random.default_rng(0).standard_normal((ROWS, COLUMNS))
    a = ss.matrix(numbers.astype(dtype))
    passes = call(a, device="cuda", panel_rows=PANEL, progress=listen)
    row = a.nbytes // ROWS
    assert reports[:3] == [PANEL * row, 2 * PANEL * row, ROWS * row]
    assert reports == sorted(set(reports))
    assert reports[-1] == passes * a.nbytes
