# SPDX-License-Identifier: BSD-3-Clause
"""The verbs: products against float64, adjointness, bits that the matrix alone decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support import known_spectra as ks
from tests.support.coverings import grid
from tests.support.engine import gaussian, product

import sigmascope as ss

SHAPES = st.tuples(st.integers(1, 700), st.integers(1, 700), st.integers(1, 40))


@settings(max_examples=80, deadline=None)
@given(SHAPES, st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
def test_products_and_gram_step(
    shape: tuple[int, int, int], double: bool, transposed: bool, seed: int
) -> None:
    """A X, A^T Y and (A^T A X, A X) within the rounding of sums of that length."""
    m, n, k = shape
    has = ss.show_config()
    rng = np.random.default_rng(seed)
    kind = np.float64 if double else np.float32
    stored = rng.standard_normal((m, n)).astype(kind)
    A = ss.matrix(stored).T if transposed else ss.matrix(stored)
    dense = np.asarray(A, np.float64)
    X = rng.standard_normal((A.shape[1], k)).astype(kind).astype(np.float64)
    Y = rng.standard_normal((A.shape[0], k)).astype(kind).astype(np.float64)
    unit = 64 * float(np.finfo(kind).eps)
    image = product(A, X, "multiply", double=double)
    assert np.all(np.abs(image - dense @ X) <= unit * (np.abs(dense) @ np.abs(X)))
    adjoint = product(A, Y, "adjoint", double=double)
    assert np.all(np.abs(adjoint - dense.T @ Y) <= unit * (np.abs(dense.T) @ np.abs(Y)))
    both, same = product(A, X, "gram", double=double)
    # A narrow block's sums of float32 have an order of their own where vectors have 64 bytes.
    dots = not double and k <= 16 and has["vector_bits"] == 512 and not has["tiles"]
    assert dots or np.array_equal(same, image)
    assert np.all(np.abs(same - dense @ X) <= unit * (np.abs(dense) @ np.abs(X)))
    bound = unit * (np.abs(dense.T) @ (np.abs(dense) @ np.abs(X)))
    assert np.all(np.abs(both - dense.T @ (dense @ X)) <= 2 * bound)


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.integers(0, 2**32 - 1))
def test_adjointness(shape: tuple[int, int, int], seed: int) -> None:
    """<A X, Y> = <X, A^T Y>."""
    m, n, k = shape
    rng = np.random.default_rng(seed)
    A = ss.matrix(rng.standard_normal((m, n)))
    X, Y = rng.standard_normal((n, k)), rng.standard_normal((m, k))
    left = np.sum(product(A, X, "multiply", double=True) * Y)
    right = np.sum(X * product(A, Y, "adjoint", double=True))
    scale = np.linalg.norm(X) * np.linalg.norm(Y) * np.sqrt(m * n)
    assert abs(left - right) <= 1e-14 * scale


def sharded(values: NDArray[np.float32]) -> ss.Matrix:
    """The same values in 2 x 2 shards of four dtypes."""
    m, n = (3 * extent // 7 for extent in values.shape)
    return ss.block(
        [
            [values[:m, :n].astype(ml_dtypes.bfloat16), values[:m, n:]],
            [values[m:, :n].astype(np.float16), np.asfortranarray(values[m:, n:])],
        ]
    )


@pytest.fixture(scope="module")
def values() -> NDArray[np.float32]:
    """Numbers that bf16, f16 and f32 all hold exactly."""
    A, _ = ks.llm(613, 407)
    return (A / np.abs(A).max()).astype(ml_dtypes.bfloat16).astype(np.float16).astype(np.float32)


def all_bits(a: ss.Matrix, **options: Any) -> list[NDArray[Any]]:
    """Every number that the algorithms give for a."""
    results: list[NDArray[Any]] = []
    for orientation in (a, a.T):
        top = ss.svds(orientation, 20, method="krylov", block=16, seed=7, **options)
        steered = ss.svds(
            orientation,
            20,
            tol=1e-3,
            method="krylov",
            block=16,
            seed=7,
            precision="mixed",
            **options,
        )
        low = ss.randomized_svd(orientation, 12, passes=3, seed=7, **options)
        every = ss.svdvals(orientation, **options)
        density = ss.spectral_density(orientation, passes=5, probes=8, seed=7, **options)
        for svd in (top, steered, low):
            assert svd.U is not None
            assert svd.Vt is not None
            results += [svd.U, svd.s, svd.Vt, svd.residuals, svd.errors]
        results += [every.values, every.errors, density.nodes, density.weights]
        results += [np.array([svd.fro_norm for svd in (top, low, every)])]
    return results


def assert_same_bits(first: list[NDArray[Any]], second: list[NDArray[Any]]) -> None:
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.booleans(), st.integers(0, 2**32 - 1))
def test_same_bits_stored_by_rows_and_by_columns(
    shape: tuple[int, int, int], double: bool, seed: int
) -> None:
    """By columns A x is computed as an adjoint: its chains of 256 terms are the same sums."""
    m, n, k = shape
    rng = np.random.default_rng(seed)
    kind = np.float64 if double else np.float32
    stored = rng.standard_normal((m, n)).astype(kind)
    rows, columns = ss.matrix(stored), ss.matrix(np.asfortranarray(stored))
    for verb, size in (("multiply", n), ("adjoint", m)):
        x = rng.standard_normal((size, k)).astype(kind)
        expected = product(rows, x, verb, double=double)
        result = product(columns, x, verb, double=double, panel=int(rng.integers(0, 300)))
        assert np.array_equal(expected, result), verb


def test_same_bits_for_threads_and_panels(values: NDArray[np.float32]) -> None:
    A = ss.matrix(values)
    expected = all_bits(A, num_threads=1)
    for threads, panel in ((1, 64), (2, 7), (2, 300), (5, 7), (5, 64)):
        assert_same_bits(expected, all_bits(A, num_threads=threads, panel_rows=panel))


def test_same_bits_for_multiples_that_round(values: NDArray[np.float32]) -> None:
    """A sum of tiles with inexact coefficients is rounded alike wherever a panel begins."""
    A = 0.3 * ss.matrix(values) - 0.7 * ss.matrix(np.asfortranarray(values[::-1]))
    expected = all_bits(A, num_threads=1)
    for threads, panel in ((1, 7), (2, 64), (5, 300)):
        assert_same_bits(expected, all_bits(A, num_threads=threads, panel_rows=panel))


def test_same_bits_whatever_holds_the_numbers() -> None:
    """The parts into which tiles cut a number follow from it, not from how it is stored."""
    rng = np.random.default_rng(5)
    values = rng.integers(-255, 256, (1300, 170)) * 2.0 ** rng.integers(-6, 1, (1300, 170))
    for turned in (False, True):
        kinds = (ml_dtypes.bfloat16, np.float16, np.float32)
        stored = [ss.matrix(values.astype(dtype)) for dtype in kinds]
        narrow, half, single = (all_bits(a.T if turned else a) for a in stored)
        assert_same_bits(narrow, half)
        assert_same_bits(narrow, single)


@pytest.mark.parametrize("shape", [(1, 1), (33, 31), (1025, 96), (2100, 130)])
@pytest.mark.parametrize("verb", ["multiply", "gram"])
def test_products_are_those_of_float32(shape: tuple[int, int], verb: str) -> None:
    """Whatever they are made of, for numbers of all magnitudes: errors as of rounded sums."""
    rng = np.random.default_rng(sum(shape))
    values = (rng.standard_normal(shape) * 2.0 ** rng.integers(-30, 30, shape)).astype(np.float32)
    X = rng.standard_normal((shape[1], 17)).astype(np.float32)
    result = product(ss.matrix(values), X, verb, double=False)
    image = result[1] if verb == "gram" else result
    sizes = np.abs(values).astype(float) @ np.abs(X).astype(float)
    exact = values.astype(float) @ X.astype(float)
    unit = np.finfo(np.float32).eps * (4 + np.sqrt(shape[1]))
    assert np.all(np.abs(image - exact) <= unit * sizes)
    if verb == "gram":
        back = values.T.astype(float) @ image.astype(float)
        sizes = np.abs(values.T).astype(float) @ np.abs(image).astype(float)
        unit = np.finfo(np.float32).eps * (4 + np.sqrt(shape[0]))
        assert np.all(np.abs(result[0] - back) <= unit * sizes)


def test_same_bits_for_one_file_and_four_shards(
    values: NDArray[np.float32], tmp_path: Path
) -> None:
    whole = tmp_path / "whole.npy"
    np.save(whole, values)
    expected = all_bits(ss.matrix(whole))
    assert_same_bits(expected, all_bits(sharded(values)))
    assert_same_bits(expected, all_bits(sharded(values), num_threads=5, panel_rows=7))


def test_same_bits_when_read_again_at_each_pass(
    values: NDArray[np.float32], tmp_path: Path
) -> None:
    """A matrix that does not fit into memory gives the bits of one that does."""
    path = tmp_path / "whole.npy"
    np.save(path, values)
    A = ss.matrix(path)
    for kind in (A, A.T):
        held = ss.svds(kind, 6, method="krylov", block=8, seed=1)
        again = ss.svds(kind, 6, method="krylov", block=8, seed=1, memory_limit=A.nbytes)
        assert held.s.tobytes() == again.s.tobytes()
        assert held.U is not None
        assert again.U is not None
        assert held.U.tobytes() == again.U.tobytes()


@grid(shape=[(2600, 150), (150, 2600), (1301, 97)], kind=[np.float32, ml_dtypes.bfloat16])
@pytest.mark.unsanitized
def test_same_bits_of_many_chains_in_memory_and_in_a_file(
    shape: tuple[int, int], kind: Any, tmp_path: Path
) -> None:
    """Threads have rows of their own of what is in memory, and share the panels of a file."""
    rng = np.random.default_rng(3)
    stored = rng.standard_normal(shape).astype(kind)
    path = tmp_path / "whole.bin"
    stored.tofile(path)
    for turned in (False, True):
        A, B = ss.matrix(stored), ss.tensor(path, 0, shape, "f32" if kind is np.float32 else "bf16")
        A, B = (A.T, B.T) if turned else (A, B)
        x = rng.standard_normal((A.shape[1], 20)).astype(np.float32)
        y = rng.standard_normal((A.shape[0], 20)).astype(np.float32)
        blocks = {"multiply": x, "adjoint": y, "gram": x, "split": x, "steer": x}
        for verb, block in blocks.items():
            expected = np.vstack(product(A, block, verb, double=False, threads=1))
            for threads, panel in ((1, 33), (2, 0), (2, 600), (5, 33)):
                for a in (A, B):
                    result = product(a, block, verb, double=False, threads=threads, panel=panel)
                    assert np.vstack(result).tobytes() == expected.tobytes(), (verb, threads, panel)


@grid(
    width=[1, 16, 24, 64, 100, 130],
    kind=[np.float32, np.float64, ml_dtypes.bfloat16],
    turned={"straight": False, "turned": True},
)
def test_same_bits_wherever_rows_lie(kind: Any, width: int, turned: bool) -> None:
    """Rows side by side, 4 KiB apart (they share a set of the cache), or off every line."""
    m, n, double = 1100, 300, kind == np.float64
    rng = np.random.default_rng(width)
    numbers = rng.standard_normal((m, n)).astype(kind)
    apart, off = np.zeros((m, 4096 // numbers.itemsize), kind), np.zeros((m, n + 37), kind)
    apart[:, :n] = off[:, 5 : n + 5] = numbers
    exact = numbers.astype(np.float64).T if turned else numbers.astype(np.float64)
    unit = 64 * float(np.finfo(np.float64 if double else np.float32).eps)
    for verb in ("multiply", "adjoint", "gram", "multiply_bf16", "steer"):
        x = rng.standard_normal((exact.shape[verb != "adjoint"], width)).astype(np.float32)
        results = []
        for stored in (numbers, apart[:, :n], off[:, 5 : n + 5]):
            A = ss.matrix(stored).T if turned else ss.matrix(stored)
            got = product(A, x, verb, double=double)
            results.append(got[0] if verb == "gram" else got)
        assert np.array_equal(results[0], results[1])
        assert np.array_equal(results[0], results[2])
        left = exact.T if verb == "adjoint" else exact
        y, bound = left @ x, np.abs(left) @ np.abs(x)
        if verb in ("gram", "steer"):
            y, bound = exact.T @ y, np.abs(exact.T) @ bound
        rounded = verb in ("multiply_bf16", "steer") and not double
        assert np.all(np.abs(results[0] - y) <= (2.0**-6 if rounded else 2 * unit) * bound)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("verb", ["multiply", "adjoint", "gram", "split", "steer"])
def test_a_product_can_be_stopped(verb: str, threads: int) -> None:
    """Whoever waits for the sums of others is let go; the next call is whole again."""
    stored = np.random.default_rng(4).standard_normal((4200, 300)).astype(np.float32)

    def stop(_: int) -> None:
        raise RuntimeError("stopped")

    for A in (ss.matrix(stored), ss.matrix(stored).T):
        x = np.ones((A.shape[0 if verb == "adjoint" else 1], 16), np.float32)
        expected = product(A, x, verb, double=False)
        with pytest.raises(RuntimeError, match="stopped"):
            product(A, x, verb, double=False, threads=threads, progress=stop)
        again = product(A, x, verb, double=False, threads=threads)
        assert np.array_equal(np.vstack(expected), np.vstack(again))


def test_transposed_storage_changes_no_value_by_more_than_rounding(
    values: NDArray[np.float32],
) -> None:
    rows = ss.svds(values, 10, tol=1e-5, method="krylov", block=16)
    columns = ss.svds(np.asfortranarray(values), 10, tol=1e-5, method="krylov", block=16)
    np.testing.assert_allclose(rows.s, columns.s, rtol=1e-5)


def test_gaussian_entries_are_functions_of_seed_row_and_column() -> None:
    whole = gaussian(200, 50, 11, threads=2)
    part = gaussian(120, 13, 11, first_column=17)
    np.testing.assert_array_equal(part, whole[:120, 17:30])
    assert not np.array_equal(gaussian(200, 50, 12, threads=2), whole)
    sample = gaussian(2000, 500, 5, threads=2)
    assert abs(sample.mean()) < 5 / 1000
    assert abs(sample.std() - 1) < 5 / 1400
    assert abs((sample**4).mean() - 3) < 5 * np.sqrt(96) / 1000
    # rows and columns are uncorrelated
    assert np.abs(np.corrcoef(sample[:, :40].T) - np.eye(40)).max() < 6 / np.sqrt(2000)
