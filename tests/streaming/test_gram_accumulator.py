# SPDX-License-Identifier: BSD-3-Clause
"""GramAccumulator: every singular value of rows that are seen once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import known_spectra as ks
from tests.support.streams import gram_bits

import sigmascope as ss
from sigmascope.errors import MemoryLimitError, NonFiniteError
from sigmascope.streaming import GramAccumulator


def streamed(A: np.ndarray, pieces: int = 3) -> GramAccumulator:
    gram = GramAccumulator(A.shape[1], memory_limit="1GiB")
    for part in np.array_split(A, pieces):
        gram.update(part)
    return gram


SHAPES = [(name, shape) for name in ks.FAMILIES for shape in ((90, 40), (40, 90))]


@pytest.mark.parametrize(("name", "shape"), [*SHAPES, ("gaussian", (1, 7)), ("zero", (1, 7))])
def test_every_value_within_its_error(name: str, shape: tuple[int, int]) -> None:
    A, sigma = ks.FAMILIES[name](*shape)
    m, n = A.shape
    gram = streamed(A)
    every, batch = gram.svdvals(), ss.svdvals(A)
    assert len(every) == len(batch) == min(m, n)
    first = sigma[0]
    assert np.all(np.abs(every.values - sigma) <= every.errors + 4e-15 * first)
    assert np.all(sigma[every.values == 0] <= every.floor + 1e-14 * first)
    assert every.floor <= 1.5e-7 * first + 1e-150
    assert every.fro_norm == pytest.approx(np.linalg.norm(A), rel=1e-13)
    top = gram.svd(min(3, m, n))
    assert np.all(np.abs(top.s - sigma[: len(top.s)]) <= top.errors + 4e-15 * first)
    assert top.Vt is not None
    np.testing.assert_allclose(top.Vt @ top.Vt.T, np.eye(len(top.s)), atol=1e-13)
    for s, v, residual in zip(top.s, top.Vt, top.residuals, strict=True):
        if s > 1e-6 * first:
            u = A @ v / np.linalg.norm(A @ v)
            assert np.linalg.norm(A.T @ u - s * v) <= residual + 1e-14 * first


def test_as_the_batch_gives_them() -> None:
    A = ks.llm(700, 300)[0].astype(np.float32)
    every, batch = streamed(A).svdvals(), ss.svdvals(A)
    np.testing.assert_allclose(every.values, batch.values, rtol=0, atol=1e-13 * batch.values[0])
    top = streamed(A).svd(5)
    assert top.converged
    np.testing.assert_allclose(top.s, batch.values[:5], rtol=1e-13)


@pytest.mark.unsanitized
def test_an_order_that_is_reduced_in_two_stages() -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((1060, 1030)) * np.arange(1, 1031) ** -0.5
    gram = streamed(A)
    every = gram.svdvals(num_threads=2)
    sigma = np.linalg.svd(A, compute_uv=False)
    assert np.all(np.abs(every.values - sigma) <= every.errors)
    assert every.values.tobytes() == gram.svdvals(num_threads=1).values.tobytes()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 50), st.integers(1, 4), st.integers(0, 2**32))
def test_any_shape(m: int, n: int, pieces: int, seed: int) -> None:
    A, sigma = ks.gaussian(m, n, seed)
    every = streamed(A, pieces).svdvals()
    assert np.all(np.abs(every.values - sigma) <= every.errors + 1e-14 * sigma[0])


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e-100, 1e-30, 1e30, 1e100, 1e150])
def test_any_scale(scale: float) -> None:
    """Where squares are lost, the errors say it."""
    A, sigma = ks.polynomial(60, 30)
    every = streamed(A * scale).svdvals()
    assert np.all(np.abs(every.values - sigma * scale) <= every.errors + 1e-13 * scale)
    if scale > 1e-120:
        assert every.errors[0] < 1e-12 * scale


def test_formats_strides_files_and_threads_change_no_bit(tmp_path: Path) -> None:
    A = ks.llm(200, 70)[0].astype(ml_dtypes.bfloat16).astype(np.float64)
    np.save(tmp_path / "a.npy", A)
    expected = gram_bits(GramAccumulator(70).update(A))
    for source in (A.astype(ml_dtypes.bfloat16), np.asfortranarray(A), tmp_path / "a.npy"):
        for threads in (1, 3):
            result = GramAccumulator(70).update(source, num_threads=threads)
            assert gram_bits(result) == expected


def test_magnitudes_far_apart() -> None:
    """The part that a grid of the sums leaves out is below the resolution of float64."""
    rng = np.random.default_rng(2)
    parts = [rng.standard_normal((20, 12)) * 10.0**power for power in (-9, 0, 6, -3)]
    gram = GramAccumulator(12)
    for part in parts:
        gram.update(part)
    sigma = np.linalg.svd(np.vstack(parts), compute_uv=False)
    assert np.all(np.abs(gram.svdvals().values - sigma) <= gram.svdvals().errors)


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda g: g.update(np.full((2, 9), np.nan)), NonFiniteError, "18 NaN"),
        (lambda g: g.update(np.ones((2, 8))), ValueError, "rows have 8 columns.*n_cols = 9"),
        (lambda g: g.svd(0), ValueError, "k = 0 must be between 1"),
        (lambda g: g.svd(5), ValueError, r"k = 5 must be between 1 and min.*\(4, 9\)"),
        (lambda g: g.merge(GramAccumulator(8)), ValueError, "'n_cols': 9.*'n_cols': 8"),
    ],
)
def test_what_is_refused_changes_nothing(
    act: Callable[[GramAccumulator], object], error: type[Exception], message: str
) -> None:
    gram = GramAccumulator(9).update(np.arange(36.0).reshape(4, 9))
    before = gram_bits(gram)
    with pytest.raises(error, match=message):
        act(gram)
    assert (gram_bits(gram), gram.rows, gram.updates) == (before, 4, 1)
    assert gram_bits(gram.update(np.ones((0, 9)))) == before
    assert repr(gram) == "GramAccumulator(4 rows x 9)"


@pytest.mark.parametrize("each", [5e153, 1e200, 1e-200])
def test_sums_of_squares_beyond_the_range(each: float) -> None:
    gram = GramAccumulator(3)
    for _ in range(40):
        gram.update(np.full((2, 3), each))
    values = gram.svdvals()
    assert values.fro_norm == pytest.approx(each * 240**0.5, rel=1e-14)
    assert np.all(np.abs(values.values - [each * 240**0.5, 0, 0]) <= values.errors)


def test_arguments() -> None:
    with pytest.raises(ValueError, match="n_cols = 0"):
        GramAccumulator(0)
    with pytest.raises(ValueError, match="n_cols = 50000 must be between 1 and 46340"):
        GramAccumulator(50000)
    with pytest.raises(ValueError, match="no rows"):
        GramAccumulator(5).svdvals()


def test_the_memory_limit() -> None:
    with pytest.raises(MemoryLimitError, match=r"order 16384 needs 5\.18 GiB, .* is 1 GiB; the"):
        GramAccumulator(16384, memory_limit="1GiB")
    n = 64
    tight = 20 * n * n + 11200 * n
    with pytest.raises(MemoryLimitError, match="an update of") as refused:
        GramAccumulator(n, memory_limit=tight - 1)
    figure = re.search(r" needs ([\d.]+ \w+), ", str(refused.value))
    assert figure is not None
    GramAccumulator(n, memory_limit=figure[1])  # what it needs is enough, as it is shown
    gram = GramAccumulator(n, memory_limit=tight).update(np.ones((3, n)))
    before = gram._sums["g"].value().tobytes()
    small = GramAccumulator(n).update(np.full((3, n), 1e-9))
    with pytest.raises(MemoryLimitError, match="another grid"):
        gram.update(np.full((3, n), 1e-9))
    with pytest.raises(MemoryLimitError, match="other grids"):
        gram.merge(small)
    with pytest.raises(MemoryLimitError, match="svdvals of"):
        gram.svdvals()
    with pytest.raises(MemoryLimitError, match="singular vectors of"):
        gram.svd(1)
    with pytest.raises(MemoryLimitError, match="an update of many rows of"):
        gram.update(np.broadcast_to(1.0, (32769, n)))  # in two parts, with what their sum loses
    gram.update(np.ones((3, n)))
    assert gram.rows == 6
    assert before != gram._sums["g"].value().tobytes()
    assert small.merge(GramAccumulator(n).update(np.ones((3, n)))).rows == 6
