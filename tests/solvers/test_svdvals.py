# SPDX-License-Identifier: BSD-3-Clause
"""Every singular value: the two-stage reduction, and both accuracies of svdvals, against LAPACK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support import known_spectra as ks
from tests.support.coverings import grid
from tests.support.engine import eigenvalues_in_two_stages
from tests.support.instruction_sets import VECTOR_BITS, assert_runs_with
from tests.support.tiers import short

import sigmascope as ss
from sigmascope.results import SingularValues
from sigmascope.streaming import GramAccumulator

Array = NDArray[Any]
BF16 = ml_dtypes.bfloat16


def symmetric(n: int, kind: str) -> Array:
    """The lower triangle is what counts."""
    rng = np.random.default_rng(n)
    A = rng.standard_normal((n, n))
    if kind == "indefinite":
        return A + A.T
    if kind == "low rank":
        return A[:, : n // 3 + 1] @ A[:, : n // 3 + 1].T
    if kind == "graded":
        scaled = A * np.logspace(0, -12, n)
        return scaled @ scaled.T
    if kind == "identity":
        return np.eye(n)
    return np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)  # a band already


ORDERS = [1, 2, 3, 63, 64, 65, 66, 127, 128, 129, 191, 192, 193, 257, 400, 641]


@grid(n=ORDERS, kind=["indefinite", "low rank", "graded", "identity", "path"])
def test_two_stage_eigenvalues_agree_with_lapack(n: int, kind: str) -> None:
    G = symmetric(n, kind)
    exact = np.linalg.eigvalsh(G)
    largest = np.max(np.abs(exact))
    result = eigenvalues_in_two_stages(G.T, fast=False)
    assert np.all(np.diff(result) >= 0)
    assert np.max(np.abs(result - exact)) <= 2e-14 * largest
    fast = eigenvalues_in_two_stages(G.T, fast=True)
    assert np.max(np.abs(fast - exact)) <= 2e-7 * largest


@pytest.mark.parametrize("n", [210, 1100])
@pytest.mark.unsanitized
def test_eigenvalues_are_right_to_a_few_units_of_roundoff(n: int) -> None:
    """Two clusters rounded to a short format: dsterf was off by up to 3e-14 there."""
    for seed in (3, 6, 11) if n < 1000 else (3,):
        sigma = np.r_[np.ones(n // 2 + 40), np.full(n - n // 2 - 40, 2e-4)]
        A = ks.prescribed(n, n, sigma, seed)[0].astype(ml_dtypes.bfloat16).astype(np.float64)
        result, exact = ss.svdvals(A).values, by_divide_and_conquer(A)
        assert np.max(np.abs(result**2 - exact**2)) <= 8e-15 * exact[0] ** 2


def by_divide_and_conquer(A: Array) -> Array:
    """LAPACK without vectors is dqds, which errs by up to 1e-14 among close values."""
    return np.linalg.svd(A)[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "rank", "spread"),
    [
        *((150, rank, spread) for rank in (150, 75) for spread in (1e-3, 1e-4, 1e-6, 1e-8, 1e-12)),
        *((1100, 1100, 1e-4), (1100, 1100, 1e-8), (1100, 550, 1e-6)),
    ],
)
@pytest.mark.unsanitized
def test_values_in_a_close_cluster_are_right_to_a_few_units(
    n: int, rank: int, spread: float
) -> None:
    """dqds alone was off by 2e-14, up to 7e-14, of the largest eigenvalue; see sturm.hpp."""
    sigma = 1 - spread * np.sort(np.random.default_rng(n).random(rank))
    A = ks.prescribed(n, n, np.r_[sigma, np.zeros(n - rank)], rank)[0]
    exact = by_divide_and_conquer(A)
    for result in (ss.svdvals(A).values, GramAccumulator(n).update(A).svdvals().values):
        assert np.max(np.abs(result**2 - exact**2)) <= 1e-14


@pytest.mark.parametrize(
    ("n", "fast"),
    [
        *((n, fast) for n in (130, 300) for fast in (False, True)),
        (1000, False),
        pytest.param(1000, True, marks=pytest.mark.slow),
    ],
)
@pytest.mark.unsanitized
def test_eigenvalues_have_the_same_bits_on_any_number_of_threads(n: int, fast: bool) -> None:
    G = symmetric(n, "indefinite")
    one = eigenvalues_in_two_stages(G, fast=fast, threads=1)
    for threads in (2, 3, 7):
        more = eigenvalues_in_two_stages(G, fast=fast, threads=threads)
        np.testing.assert_array_equal(one, more)


def lapack(A: Array) -> Array:
    return np.linalg.svd(A.astype(np.float64), compute_uv=False)


def check(result: SingularValues, exact: Array) -> None:
    """Each value is within its bound; one found as zero is no larger than the floor."""
    error = np.abs(result.values - exact)
    assert np.all(error <= result.errors + 4e-15 * exact[0])
    assert np.all(np.diff(result.values) <= 0)
    assert np.all(exact[result.values == 0] <= result.floor + 1e-14 * exact[0])


def columns_of_unequal_size(n: int) -> ks.Case:
    rng = np.random.default_rng(n)
    return ks.measured(rng.standard_normal((n, n)) * np.logspace(0, -1, n))


def rows_of_unequal_size(n: int) -> ks.Case:
    rng = np.random.default_rng(n)
    return ks.measured(rng.standard_normal((n, n)) * np.logspace(0, -6, n)[:, None])


def heavy_tails(n: int) -> ks.Case:
    return ks.measured(np.random.default_rng(n).standard_t(3, (n, n)))


def toeplitz(n: int) -> ks.Case:
    diagonals = np.random.default_rng(n).standard_normal(2 * n)
    return ks.measured(diagonals[np.arange(n)[:, None] - np.arange(n) + n])


def orthogonal(n: int) -> ks.Case:
    return ks.prescribed(n + 50, n, np.ones(n))


def outlier(n: int) -> ks.Case:
    return ks.prescribed(n, n + 9, np.r_[40.0, np.linspace(1, 0.01, n - 1)])


CASES: dict[str, Callable[[int], ks.Case]] = {
    **{
        name: lambda n, family=family: family(n + 77, n)
        for name, family in ks.FAMILIES.items()
        if name not in ("row", "column")
    },
    "wide": lambda n: ks.gaussian(n, 3 * n),
    "tall": lambda n: ks.gaussian(4 * n, n),
    "columns": columns_of_unequal_size,
    "rows": rows_of_unequal_size,
    "heavy tails": heavy_tails,
    "Toeplitz": toeplitz,
    "orthogonal": orthogonal,
    "outlier": outlier,
}


FAST = (
    "gaussian-bfloat16 polynomial-float32 low_rank-bfloat16 llm-float32 graded-bfloat16 "
    "columns-float32 rows-bfloat16 outlier-float32 orthogonal-bfloat16"
)


@pytest.mark.parametrize(
    ("case", "dtype"),
    short(
        FAST.split(),
        {
            f"{name}-{dtype.__name__}": (case, dtype)
            for name, case in CASES.items()
            for dtype in (np.float32, BF16)
        },
    ),
)
@pytest.mark.unsanitized
def test_fast_values_are_within_their_errors(case: Callable[[int], ks.Case], dtype: Any) -> None:
    A = case(523)[0].astype(dtype)
    result = ss.svdvals(A, accuracy="fast")
    exact = lapack(A)
    check(result, exact)
    assert result.method == "fast Gram matrix"
    assert result.floor <= 2e-3 * exact[0]


@pytest.mark.nightly
@pytest.mark.unsanitized
def test_fast_values_of_many_graded_matrices_are_within_their_errors() -> None:
    """Some of them fall back to float64: a few columns with all of the norm, or parallel ones."""
    precisions = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        n, more = int(rng.integers(512, 560)), int(rng.integers(0, 200))
        sigma = np.logspace(0, -rng.uniform(0.5, 9), n)
        A = ks.prescribed(n + more, n, sigma, seed)[0] * 2.0 ** rng.integers(-40, 40)
        if seed % 3 == 0:
            A = A * np.logspace(0, -rng.uniform(0, 2), n)
        A = A.astype(BF16 if seed % 2 else np.float32)
        result = ss.svdvals(A.T if seed % 5 == 0 else A, accuracy="fast")
        check(result, np.sqrt(np.maximum(np.linalg.eigvalsh(gram(A))[::-1], 0)))
        precisions.add(result.precision)
    assert precisions >= {"float32"}


def gram(A: Array) -> Array:
    wide = A.astype(np.float64)
    return np.asarray(wide.T @ wide)


@pytest.mark.slow
@pytest.mark.unsanitized
@pytest.mark.parametrize("dtype", [BF16, pytest.param(np.float32, marks=pytest.mark.nightly)])
def test_fast_eigenvalues_are_within_their_errors_where_they_are_taken(dtype: Any) -> None:
    """One value far above the others, of a large matrix: there the reduction is in float32 too."""
    rng = np.random.default_rng(5)
    n = 2900
    u, v = rng.standard_normal((n, 1)), rng.standard_normal((1, n))
    A = (rng.standard_normal((n, n)) + 40 * u @ v / np.sqrt(n)).astype(dtype)
    fast, reference = ss.svdvals(A, accuracy="fast"), ss.svdvals(A)
    assert "float32 products" in " ".join(fast.notes)
    assert "float32 products" not in " ".join(reference.notes)
    error = np.abs(fast.values - reference.values)
    assert np.all(error <= fast.errors + reference.errors)
    assert np.max(error[reference.values > 1e-3 * reference[0]]) < 3e-7 * reference[0]


def test_fast_depends_on_the_values_not_on_how_they_are_stored() -> None:
    A = ks.llm(700, 530)[0].astype(BF16)
    wide = A.astype(np.float32)
    shards = ss.block([[A[:300, :100], wide[:300, 100:]], [wide[300:, :100], A[300:, 100:]]])
    one = ss.svdvals(A, accuracy="fast", num_threads=1)
    for source in (wide, shards, np.asfortranarray(wide), A.astype(np.float64)):
        for options in ({"num_threads": 3}, {"num_threads": 2, "panel_rows": 7}):
            other = ss.svdvals(source, accuracy="fast", **options)
            np.testing.assert_array_equal(one.values, other.values)
            np.testing.assert_array_equal(one.errors, other.errors)
            assert one.precision == other.precision


def test_fast_says_the_precision_of_its_products() -> None:
    A = ks.gaussian(600, 520)[0]
    narrow = "bfloat16" if ss.show_config()["dot_bf16"] else "float32"
    for dtype, precision in [(BF16, narrow), (np.float32, "float32"), (np.float64, "float64")]:
        result = ss.svdvals(A.astype(dtype), accuracy="fast")
        assert (result.precision, result.notes) == (precision, ())
    assert ss.svdvals(A[:, :100].astype(BF16), accuracy="fast").precision == "float64"  # small
    mixed = A.astype(BF16).astype(np.float32)
    mixed[599] = A[599]
    assert ss.svdvals(mixed, accuracy="fast").precision == "float32"


def test_fast_falls_back_where_its_estimate_would_not_hold() -> None:
    A = ks.gaussian(640, 520)[0].astype(BF16)
    A[:, 7] = -2 * A[:, 3]
    result = ss.svdvals(A, accuracy="fast")
    assert result.precision == "float64"
    assert "parallel" in " ".join(result.notes)
    assert result.passes == 3
    np.testing.assert_array_equal(result.values, ss.svdvals(A).values)
    assert result.values[-1] <= result.floor
    pair = np.linalg.qr(ks.gaussian(640, 520)[0])[0]
    first, other = pair[:, 3].copy(), pair[:, 7].copy()
    for cosine, precision in ((0.998, "float32"), (0.9995, "float64")):
        pair[:, 7] = cosine * first + np.sqrt(1 - cosine**2) * other
        outcome = ss.svdvals(pair.astype(np.float32), accuracy="fast")
        assert outcome.precision == precision
    heavy = ks.gaussian(640, 520)[0]
    heavy[:, :10] *= 1000
    assert ss.svdvals(heavy.astype(np.float32), accuracy="fast").precision == "float64"


def test_accuracy_reaches_spectrum_and_scan_and_is_said(tmp_path: Any) -> None:
    from safetensors.numpy import save_file

    A = ks.llm(560, 520)[0].astype(np.float32)
    save_file({"a": A}, tmp_path / "model.safetensors")
    fast = ss.spectrum(A, effort="exact", accuracy="fast")
    np.testing.assert_array_equal(fast.values, ss.svdvals(A, accuracy="fast").values)
    assert (fast.method, fast.precision) == ("fast Gram matrix", "float32")
    assert ss.spectrum(A, effort="exact").method == "Gram matrix"
    row = ss.scan(tmp_path, effort="exact", accuracy="fast")["a"]
    assert (row["method"], row["precision"]) == ("fast Gram matrix", "float32")
    for call in (ss.svdvals, ss.spectrum):
        with pytest.raises(ValueError, match="accuracy must be 'reference' or 'fast', not 'best'"):
            call(A, accuracy="best")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_values_are_within_their_errors(case: Callable[[int], ks.Case], device: str) -> None:
    A, exact = case(200 if device == "cpu" else 40)
    check(ss.svdvals(A, device=device), exact)
    narrow = A.astype(np.float32)
    check(ss.svdvals(narrow, device=device), lapack(narrow))


@pytest.mark.unsanitized
@pytest.mark.parametrize(
    "shape",
    short(
        ["1x9", "130x1", "60x90"],
        {
            f"{shape[0]}x{shape[1]}": [shape]
            for shape in ((1, 1), (1, 9), (9, 1), (2, 2), (3, 5), (130, 1), (2, 130), (60, 90))
        },
    ),
)
def test_any_shape_in_either_order_on_a_cuda_device(
    shape: tuple[int, int], cuda_device: str
) -> None:
    check_orders(shape, device=cuda_device)


@grid(
    shape=[(1, 1), (1, 9), (9, 1), (2, 2), (3, 5), (700, 1), (2, 700), (513, 1500), (1500, 513)],
    accuracy=["reference", "fast"],
)
def test_any_shape_in_either_order(shape: tuple[int, int], accuracy: str) -> None:
    check_orders(shape, accuracy=accuracy)


def check_orders(shape: tuple[int, int], **options: Any) -> None:
    A = ks.gaussian(*shape)[0].astype(np.float32)
    exact = lapack(A)
    for source in (A, np.asfortranarray(A), A[::-1, ::-1]):
        check(ss.svdvals(source, **options), exact)


def test_an_error_covers_a_value_that_is_zero(device: str) -> None:
    """The true value of one at the floor may be zero: the bound is the value itself."""
    A, sigma = ks.low_rank(90, 60, rank=30)
    result = ss.svdvals(A, device=device)
    assert np.all(np.abs(result.values - sigma) <= result.errors + 1e-15)


SCRIPT = """
import ml_dtypes
import numpy as np
from tests.support import known_spectra as ks
from tests.support.engine import eigenvalues_in_two_stages

for dtype in (ml_dtypes.bfloat16, np.float32):
    A = ks.llm(600, 530)[0].astype(dtype)
    exact = np.linalg.svd(A.astype(float), compute_uv=False)
    for threads in (1, 3):
        fast = ss.svdvals(A, accuracy="fast", num_threads=threads)
        assert fast.precision != "float64"
        assert np.all(np.abs(fast.values - exact) <= fast.errors + 1e-14 * exact[0])
for n in (1, 65, 200, 333):
    G = np.random.default_rng(n).standard_normal((n, n))
    G = G + G.T
    # Rayleigh quotients in long double: exact to the square of LAPACK's own error, which is ours
    V = np.linalg.eigh(G)[1].astype(np.longdouble)
    exact = np.sort(np.sum(V * (G.astype(np.longdouble) @ V), axis=0) / np.sum(V * V, axis=0))
    for fast, tolerance in ((False, 1e-14), (True, 2e-7)):
        one = eigenvalues_in_two_stages(G, fast=fast)
        assert np.max(np.abs(one - exact)) <= tolerance * np.max(np.abs(exact))
        assert np.array_equal(one, eigenvalues_in_two_stages(G, fast=fast, threads=3))
"""


@pytest.mark.slow
@pytest.mark.parametrize("isa", VECTOR_BITS)
def test_every_instruction_set_finds_every_value(isa: str) -> None:
    assert_runs_with(isa, SCRIPT)
