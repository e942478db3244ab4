# SPDX-License-Identifier: BSD-3-Clause
"""Every instruction set that this machine runs gives the same answers; the choice can be forced."""

from __future__ import annotations

import pytest
from tests.support.instruction_sets import VECTOR_BITS, assert_runs_with, run_with

# Run in a process of its own: the choice is made once, at import.
SCRIPT = """
import ml_dtypes
import numpy as np
from tests.support.engine import product

rng = np.random.default_rng(0)
every_half = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(256, 256)
decoded = np.asarray(ss.matrix(every_half), dtype=np.float64)
np.testing.assert_array_equal(decoded, every_half.astype(np.float64))

for m, n, k in [(1, 1, 1), (3, 7, 5), (129, 65, 17), (300, 190, 64), (700, 301, 33)]:
    A = rng.standard_normal((m, n))
    X, Y = rng.standard_normal((n, k)), rng.standard_normal((m, k))
    for dtype, tolerance in [(np.float64, 1e-14), (np.float32, 3e-6)]:
        B = A.astype(dtype)
        M, exact = ss.matrix(B), B.astype(np.float64)
        X, Y = X.astype(dtype), Y.astype(dtype)
        for got, left, right in [(M @ X, exact, X), (M.T @ Y, exact.T, Y)]:
            right = right.astype(np.float64)
            bound = tolerance * (np.abs(left) @ np.abs(right) + 1)
            assert np.all(np.abs(got - left @ right) <= bound), (m, n, k, dtype)

def rounded(x):
    bits = np.asarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000).view(np.float32).astype(np.float64)

for m, n, k in [(1, 1, 1), (129, 65, 17), (301, 193, 70)]:
    A, X = (rng.standard_normal(shape).astype(np.float32) for shape in ((m, n), (n, k)))
    for M, dense in [(ss.matrix(A), A), (ss.matrix(np.ascontiguousarray(A.T)).T, A)]:
        got = product(M, X, "multiply_bf16")
        exact = rounded(dense) @ rounded(X)
        assert np.all(np.abs(got - exact) <= 1e-6 * (np.abs(dense) @ np.abs(X) + 1)), (m, n, k)
        both = product(M, X, "steer")
        again = rounded(dense).T @ rounded(got)
        assert np.linalg.norm(both - again) <= 1e-5 * np.linalg.norm(again), (m, n, k)

# Half-way between two numbers of bf16: to the even one, in rows of any length.
ties = 1 + (2 * np.arange(40 * 40) % 256 + 1) / 256
for n in range(1, 41):
    A, identity = np.float32(ties[: 40 * n].reshape(40, n)), np.eye(n, dtype=np.float32)
    got = product(ss.matrix(A), identity, "multiply_bf16")
    np.testing.assert_array_equal(got, rounded(A))
    got = product(ss.matrix(identity), A[:n], "multiply_bf16")
    np.testing.assert_array_equal(got, rounded(A[:n]))

# Columns of a narrow block, which have kernels of their own, are those of a wide one: to the bit
# where all sums are exact or vectors have less than 64 bytes, else as far as another order of
# them goes.
for m, n in [(1, 33), (301, 193), (517, 1090), (1030, 64)]:
    for kind in ("integers", "normal"):
        if kind == "integers":
            A, X = (rng.integers(-1, 2, shape).astype(np.float32) for shape in ((m, n), (n, 40)))
            assert np.abs(A @ X).max() <= 256  # a number of bf16
        else:
            A, X = (rng.standard_normal(s).astype(np.float32) for s in ((m, n), (n, 40)))
        for M in (ss.matrix(A), ss.matrix(A.astype(ml_dtypes.bfloat16))):
            for verb in ("steer", "gram", "multiply_bf16"):
                whole = product(M, X, verb)
                wide = whole[0] if verb == "gram" else whole
                for k in (1, 9, 16):
                    for panel_rows in (0, 50):
                        products = product(M, X[:, :k], verb, panel=panel_rows)
                        narrow = products[0] if verb == "gram" else products
                        apart = np.abs(narrow - wide[:, :k]).max()
                        bound = 1e-5 if verb != "steer" else 3e-3
                        if kind == "integers" or config["vector_bits"] < 512:
                            bound = 0
                        assert apart <= bound * np.abs(wide).max(), (m, n, k, verb, kind)

# In float64 up to four columns fill half of a vector of 64 bytes. Every sum has the same order.
for m, n in [(1, 33), (301, 193), (517, 1090), (1030, 64)]:
    A, X, Y = (rng.standard_normal(shape) for shape in ((m, n), (n, 40), (m, 40)))
    for M in (ss.matrix(A), ss.matrix(np.asfortranarray(A))):
        forward, adjoint = M @ X, M.T @ Y
        for k in (1, 3, 4, 5, 9):
            assert np.array_equal(M @ X[:, :k], forward[:, :k]), (m, n, k)
            assert np.array_equal(M.T @ Y[:, :k], adjoint[:, :k]), (m, n, k)

A = rng.standard_normal((400, 250)) * np.arange(1, 251) ** -0.5
exact = np.linalg.svd(A, compute_uv=False)
for dtype in (np.float32, np.float64):
    for precision in ("float64",) if dtype == np.float64 else ("float32", "mixed"):
        top = ss.svds(A.astype(dtype), 5, method="krylov", precision=precision)
        assert top.converged
        assert np.all(np.abs(top.s - exact[:5]) <= top.errors + 1e-6 * exact[0])
assert np.allclose(ss.svdvals(A).values, exact, rtol=0, atol=1e-7 * exact[0])
seen = ss.moments(A)
assert np.isclose(seen.fro_norm, np.linalg.norm(A), rtol=1e-14)
assert np.isclose(seen.std, A.std(), rtol=1e-13)
"""


@pytest.mark.parametrize("isa", VECTOR_BITS)
def test_each_instruction_set_agrees_with_numpy(isa: str) -> None:
    assert_runs_with(isa, SCRIPT)


def test_an_unknown_instruction_set_is_named_with_the_known_ones() -> None:
    done = run_with("avx1024", SCRIPT)
    assert done.returncode != 0
    assert "ValueError: SIGMASCOPE_ISA is 'avx1024'; known: scalar avx2 avx512" in done.stderr
