# SPDX-License-Identifier: BSD-3-Clause
"""Native threads with the small stacks that musl gives them: every call has room there."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, sys
import numpy as np
import sigmascope as ss

class Attributes(ctypes.Union):  # at least as large as pthread_attr_t, and aligned as it is
    _fields_ = (("words", ctypes.c_ulong * 16),)

libc, attributes = ctypes.CDLL(None), Attributes()
assert libc.pthread_attr_init(ctypes.byref(attributes)) == 0
assert libc.pthread_attr_setstacksize(ctypes.byref(attributes), ctypes.c_size_t(128 << 10)) == 0
assert libc.pthread_setattr_default_np(ctypes.byref(attributes)) == 0

rng = np.random.default_rng(3)
A = rng.standard_normal((600, 5000))
kind = sys.argv[1]
if kind == "with NaN":
    A[::3, ::7], A[1::3, ::11], A[7] = np.nan, np.inf, -np.inf
codes = A.astype(np.float32).view(np.uint32)
stored = {
    "f64": A,
    "f32": A.astype(np.float32),
    "f16": A.astype(np.float16),
    "bf16": (codes >> 16).astype(np.uint16),
    "f8_e4m3": (codes >> 24).astype(np.uint8),
    "f8_e5m2": (codes >> 24).astype(np.uint8),
}
if kind == "finite":
    stored["f8_e4m3"] &= 0xBF
for dtype, numbers in stored.items():
    print(dtype, flush=True)
    X = ss.matrix(numbers, dtype=dtype)
    ss.moments(X, num_threads=3)
    calls = (
        lambda: ss.svds(X, 4, num_threads=3),
        lambda: ss.randomized_svd(X, 4, num_threads=3),
        lambda: ss.svdvals(X, num_threads=3),
        lambda: ss.svdvals(X.T, num_threads=3, accuracy="fast"),
        lambda: ss.spectrum(X, effort="density", num_threads=3),
    )
    for call in calls:
        try:
            call()
            assert kind == "finite"
        except ss.errors.NonFiniteError:
            assert kind == "with NaN"
"""

pytestmark = [pytest.mark.unsanitized, pytest.mark.slow]  # whose frames are larger

DTYPES = ["f64", "f32", "f16", "bf16", "f8_e4m3", "f8_e5m2"]


@pytest.mark.parametrize("numbers", ["finite", "with NaN"])
def test_stacks_of_128_kib_are_enough(numbers: str) -> None:
    command = [sys.executable, "-c", SCRIPT, numbers]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == DTYPES, done.stderr  # else the last one did not end
    assert done.returncode == 0, f"{done.returncode}\n{done.stderr}"
