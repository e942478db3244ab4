# SPDX-License-Identifier: BSD-3-Clause
"""svds, randomized_svd and svdvals against float64 LAPACK: every value within its own bound."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support import known_spectra as ks
from tests.support.coverings import device_grid
from tests.support.cuda_module import seeds

import sigmascope as ss

Array = NDArray[np.float64]

# What LAPACK itself and the rounding of a float64 product leave, in units of sigma_1.
ORACLE = 2e-14
FLOOR = {"mixed": 3e-6, "split": 3e-6, "float32": 3e-6, "float64": ORACLE}


def lapack(A: NDArray[np.floating]) -> Array:
    return np.linalg.svd(np.asarray(A, np.float64), compute_uv=False)


def check_values(result: ss.results.SVD, sigma: Array) -> None:
    """Every value within its bound; what says converged is within the tolerance of the bound."""
    error = np.abs(result.s - sigma[: len(result.s)])
    assert np.all(error <= result.errors + ORACLE * sigma[0])


def check_triplets(result: ss.results.SVD, A: NDArray[np.floating]) -> None:
    """Orthonormal vectors, and residuals no larger than reported."""
    assert result.U is not None
    assert result.Vt is not None
    A64, U, V = np.asarray(A, np.float64), result.U.astype(float), result.Vt.T.astype(float)
    k, floor = len(result.s), FLOOR[result.precision] * max(np.linalg.norm(A64, 2), 1e-300)
    loose = 1e-12 if result.precision == "float64" else 1e-5
    assert np.abs(U.T @ U - np.eye(k)).max() < loose
    assert np.abs(V.T @ V - np.eye(k)).max() < loose
    left = np.linalg.norm(A64.T @ U - V * result.s, axis=0)
    right = np.linalg.norm(A64 @ V - U * result.s, axis=0)
    assert np.all(np.maximum(left, right) <= 1.01 * result.residuals + floor)


Family = Callable[[int, int], ks.Case]
Sizes = dict[str, tuple[int, int, int]]
"""Rows, columns and k by device: the simulated one is slow."""


def cluster(m: int, n: int) -> ks.Case:
    return ks.clustered(m, n, multiplicity=n // 3)


SUITE: list[tuple[str, Family, tuple[int, int, int], tuple[int, int, int]]] = [
    ("polynomial", ks.polynomial, (300, 200, 20), (90, 60, 8)),
    ("exponential", ks.exponential, (200, 300, 40), (60, 90, 20)),
    ("clustered beyond the block", cluster, (400, 300, 48), (100, 75, 20)),
    ("exact low rank, k below", ks.low_rank, (300, 250, 10), (75, 60, 10)),
    ("exact low rank, k above", ks.low_rank, (300, 250, 24), (75, 60, 24)),
    ("graded to 1e-8", ks.graded, (220, 200, 60), (70, 60, 20)),
    ("Gaussian", ks.gaussian, (300, 300, 12), (70, 70, 12)),
    ("spikes over a bulk", ks.spiked, (500, 400, 40), (100, 80, 12)),
    ("trained weights", ks.llm, (512, 384, 64), (96, 72, 12)),
    ("zero", ks.zero, (60, 40, 5), (60, 40, 5)),
    ("one row", ks.row, (1, 90, 1), (1, 90, 1)),
    ("one column", ks.column, (90, 1, 1), (90, 1, 1)),
    ("k = min(m, n)", ks.gaussian, (40, 70, 40), (40, 70, 40)),
    ("repeated rows", ks.repeated_rows, (200, 150, 30), (60, 50, 30)),
]
KNOWN = {name: (family, {"cpu": large, "cuda:0": small}) for name, family, large, small in SUITE}
each_known = pytest.mark.parametrize(("family", "sizes"), KNOWN.values(), ids=KNOWN)


@device_grid(known=KNOWN, method=["krylov", "gram"], precision=["mixed", "float32", "float64"])
def test_known_spectra(
    known: tuple[Family, Sizes], method: str, precision: str, device: str
) -> None:
    family, sizes = known
    m, n, k = sizes[device]
    A = family(m, n)[0].astype("float64" if precision == "float64" else "float32")
    sigma = lapack(A)
    options: dict[str, Any] = {"block": 16, "precision": precision, "device": device}
    result = ss.svds(A, k, tol=1e-4, method=method, **options)
    assert result.converged
    check_values(result, sigma)
    check_triplets(result, A)
    assert np.all(np.diff(result.s) <= 0)
    assert result.fro_norm == pytest.approx(np.linalg.norm(A.astype(float)), rel=1e-12)


@pytest.mark.parametrize("precision", ["mixed", "float64"])
@each_known
def test_values_alone(family: Family, sizes: Sizes, precision: str, device: str) -> None:
    m, n, k = sizes[device]
    A = family(m, n)[0].astype("float32" if precision == "mixed" else "float64")
    sigma = lapack(A)
    tol = 1e-4 if precision == "mixed" else 1e-6
    options: dict[str, Any] = {"block": 16, "precision": precision, "device": device}
    result = ss.svds(A, k, tol=tol, method="krylov", vectors=False, **options)
    assert result.U is result.Vt is None
    assert result.converged
    check_values(result, sigma)
    floor = FLOOR[precision] * sigma[0] + ORACLE
    assert np.all(np.abs(result.s - sigma[:k]) <= tol * sigma[0] + floor)


Problem = tuple[NDArray[np.floating], int, dict[str, object]]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """A matrix of prescribed, often multiple or tiny singular values, and how to solve it."""
    m, n = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    p = min(m, n)
    kind = draw(st.sampled_from(["decay", "steps", "pairs", "graded", "low rank", "Gaussian"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if kind == "decay":
        sigma = np.arange(1, p + 1) ** -float(draw(st.sampled_from([0.1, 0.5, 1.0, 2.0, 4.0])))
    elif kind == "steps":  # multiplicities on both sides of the block
        levels = rng.uniform(0.1, 3.0, size=p)
        sigma = np.repeat(levels, rng.integers(1, 30, size=p))[:p]
    elif kind == "pairs":  # values that a narrow block may take for one
        levels = np.sort(rng.uniform(0.5, 3.0, size=p))[::-1]
        sigma = levels * (1 - 10.0 ** -draw(st.integers(1, 6)) * (np.arange(p) % 2))
        sigma[1::2] = sigma[0::2][: len(sigma[1::2])] * (sigma[1::2] / levels[1::2])
    elif kind == "graded":
        sigma = np.logspace(0, -draw(st.integers(2, 12)), p)
    elif kind == "low rank":
        sigma = np.where(np.arange(p) < draw(st.integers(0, 20)), rng.uniform(0.5, 2.0, p), 0.0)
    else:
        sigma = None
    A = (
        rng.standard_normal((m, n))
        if sigma is None
        else ks.prescribed(m, n, sigma, int(rng.integers(2**31)))[0]
    )
    precision = draw(st.sampled_from(["mixed", "split", "float32", "float64"]))
    dtype = "float64" if precision == "float64" else "float32"
    A = (A * 2.0 ** draw(st.integers(-60, 60))).astype(dtype)
    tol = draw(st.sampled_from([1e-1, 1e-2, 1e-3, 1e-4, 1e-5]))
    k = draw(st.integers(1, p))
    return (
        A,
        k,
        {
            "tol": tol,
            "block": draw(st.integers(1, 33)),
            "vectors": draw(st.booleans()),
            "precision": precision,
            "seed": draw(st.integers(0, 2**20)),
        },
    )


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems())
@pytest.mark.unsanitized
def test_no_silent_miss(problem: Problem) -> None:
    check_answer(problem, "cpu")


@pytest.mark.nightly
@settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems())
@pytest.mark.unsanitized
def test_no_silent_miss_of_many_more(problem: Problem) -> None:
    check_answer(problem, "cpu")


@pytest.mark.slow
@pytest.mark.unsanitized
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems())
def test_no_silent_miss_on_a_cuda_device(cuda_device: str, problem: Problem) -> None:
    check_answer(problem, cuda_device)


def check_answer(problem: Problem, device: str) -> None:
    """An answer says so if it has not converged; else it is within its bounds and its tolerance."""
    A, k, options = problem
    sigma = lapack(A)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ss.errors.ConvergenceWarning)
        result = ss.svds(A, k, method="krylov", device=device, **options)  # type: ignore[arg-type]
    check_values(result, sigma)
    floor = FLOOR[result.precision] * sigma[0]
    if options["vectors"]:
        check_triplets(result, A)
        if result.converged:
            assert np.max(result.residuals) <= options["tol"] * sigma[0] + floor  # type: ignore[operator]
    elif result.converged:
        assert np.max(np.abs(result.s - sigma[:k])) <= options["tol"] * sigma[0] + floor  # type: ignore[operator]


@device_grid(
    block=[3, 4, 8, 16, 24], precision=["mixed", "split", "float32"], vectors=[False, True]
)
@pytest.mark.unsanitized
def test_crowds_hide_no_error(block: int, precision: str, vectors: bool, device: str) -> None:
    """Values closer than a loose search resolves, more than it holds, share its Ritz vectors."""
    for seed in seeds(device, 24):
        rng = np.random.default_rng(seed)
        gap, copies = 10 ** rng.uniform(-4.5, -1), int(rng.integers(2, 45))
        crowd = 1 - gap * rng.uniform(0.0 if seed % 2 else 1.0, 1.0, copies)
        rest = rng.choice([0.05, 0.2, 0.6, 0.9]) * np.linspace(1, 0.5, 40)
        sigma = np.sort(np.concatenate([np.ones(rng.integers(1, 4)), crowd, rest]))[::-1]
        A = ks.prescribed(len(sigma) + 9, len(sigma), sigma, seed)[0].astype(np.float32)
        k, tol = int(rng.integers(1, 9)), 10.0 ** -int(rng.integers(1, 6))
        options: dict[str, Any] = {"tol": tol, "block": block, "seed": seed, "method": "krylov"}
        options |= {"precision": precision, "device": device}
        check_values(ss.svds(A, k, vectors=vectors, **options), lapack(A))


@pytest.mark.parametrize("gap", [1e-3, 1e-4, 3e-5])
@pytest.mark.parametrize(("n", "seeds"), [(2, 150), (40, 20)])
def test_rounded_products_may_exchange_neighbours(gap: float, n: int, seeds: int) -> None:
    """The wrong one of two values closer than steering resolves may be kept: errors say so."""
    sigma = np.concatenate([[1.0, 1.0 - gap], np.linspace(0.5, 0.1, n - 2)])
    for seed in range(seeds):
        A = ks.prescribed(62, n, sigma, seed)[0].astype(np.float32)
        options: dict[str, Any] = {"tol": 0.1, "block": 1, "seed": seed, "method": "krylov"}
        result = ss.svds(A, 1, vectors=False, precision="mixed", **options)
        check_values(result, lapack(A))


@pytest.mark.parametrize("smallest", [4, 8, 14])
def test_gram_bounds_hold_where_its_eigenvectors_mix(smallest: int, device: str) -> None:
    """Below sqrt(epsilon) sigma_1 a value may stand in another's place; the bound covers that."""
    for seed in seeds(device, 40):
        rng = np.random.default_rng(seed)
        m, n = (int(extent) for extent in rng.integers(5, 150, size=2))
        A, _ = ks.prescribed(m, n, np.logspace(0, -smallest, min(m, n)), seed)
        k = int(rng.integers(1, min(m, n) + 1))
        check_values(ss.svds(A, k, method="gram", device=device), lapack(A))


def test_copies_beyond_the_block_are_found_for_every_seed() -> None:
    A, sigma = ks.clustered(300, 256, multiplicity=60)
    for seed in range(20):
        result = ss.svds(A, 48, tol=1e-3, method="krylov", block=8, seed=seed)
        assert result.converged
        assert re.search("injected|replaced it", " ".join(result.notes))
        assert np.max(np.abs(result.s - sigma[:48])) < 1e-3


def test_no_convergence_is_said_and_the_bounds_hold(device: str) -> None:
    n = 400 if device == "cpu" else 120
    A, sigma = ks.gaussian(n, n)
    options: dict[str, Any] = {"block": 8, "max_passes": 4, "device": device}
    text = r"did not converge to tol = 1e-10 in the 4 steps that max_passes allows \(6 reads of A\)"
    with pytest.warns(ss.errors.ConvergenceWarning, match=text):
        result = ss.svds(A, 8, tol=1e-10, method="krylov", **options)
    assert not result.converged
    assert (result.steps, result.passes) == (4, 6)
    check_values(result, sigma)
    assert np.max(np.abs(result.s - sigma[:8])) > 1e-3 * sigma[0]  # the bounds had work to do


def test_steps_are_what_the_limit_counts_and_passes_are_all_reads() -> None:
    A, _ = ks.gaussian(300, 200)
    for limit in (1, 2, 5):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ss.errors.ConvergenceWarning)
            top = ss.svds(A, 5, tol=1e-9, max_passes=limit)
        few = ss.randomized_svd(A, 5, passes=limit)
        for result in (top, few):
            assert (result.steps, result.passes) == (limit, limit + 2)
            assert f"{limit} step" in repr(result)
            assert f", {limit + 2} reads, " in repr(result)
    assert ss.svds(A, 5, method="gram").steps == 0


def test_a_search_that_was_given_up_has_its_steps() -> None:
    A, _ = ks.gaussian(300, 200)
    counts: list[int] = []
    result = ss.svds(A, 40, tol=1e-10, method="krylov", progress=counts.append)
    assert any("Gram matrix replaced it" in note for note in result.notes)
    assert 0 < result.steps < result.passes
    assert counts == sorted(counts)
    searched = result.passes - ss.svds(A, 40, tol=1e-10, method="gram").passes
    assert counts[-1] > searched * A.nbytes  # what follows goes on from there


@pytest.mark.slow
def test_a_basis_restarted_for_memory_reaches_the_same_values() -> None:
    A, sigma = ks.spiked(2000, 1500)
    A32 = A.astype(np.float32)
    sigma = lapack(A32)
    options: dict[str, Any] = {"method": "krylov", "block": 8, "precision": "float32"}
    whole = ss.svds(A32, 24, tol=1e-2, **options)
    assert "restarted" not in " ".join(whole.notes)
    limit = 1_500_000 if ss.show_config()["tiles"] else 950_000  # tiles take blocks twice as wide
    for tol in (1e-2, 1e-5):  # the finer is restarted with any memory
        small = ss.svds(A32, 24, tol=tol, memory_limit=limit, **options)
        assert "restarted" in " ".join(small.notes)
        assert small.columns < whole.columns
        assert small.converged
        check_values(small, sigma)
        check_triplets(small, A32)


@pytest.mark.parametrize("scale", [1e-35, 1e-20, 1e20, 1e35])
def test_extreme_scales_neither_overflow_nor_vanish(scale: float, device: str) -> None:
    A, _ = ks.polynomial(120, 80)
    A32 = (A * scale).astype(np.float32)
    result = ss.svds(A32, 10, method="krylov", device=device)
    assert result.converged
    check_values(result, lapack(A32))


def test_randomized_svd_is_a_projection_with_honest_bounds(device: str) -> None:
    A, sigma = ks.llm(600, 500) if device == "cpu" else ks.llm(220, 200)
    k = 40 if device == "cpu" else 12
    errors = []
    for passes in (1, 2, 4):
        result = ss.randomized_svd(A, k, passes=passes, oversampling=10, seed=3, device=device)
        check_values(result, sigma)
        U, s, Vt = result
        assert U is not None
        assert Vt is not None
        assert np.abs(U.T @ U - np.eye(k)).max() < 1e-10
        assert np.abs(Vt @ Vt.T - np.eye(k)).max() < 1e-10
        check_triplets(result, A)
        assert result.passes == passes + 2  # one before for the norm, one after that measures
        errors.append(np.max((sigma[:k] - s) / sigma[:k]))
    assert errors[0] > 2 * errors[1] > 4 * errors[2]  # each pass earns its read


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(128, 128), (300, 200), (150, 400)])
def test_passes_that_cost_more_than_a_decomposition_give_way_to_it(
    shape: tuple[int, int], dtype: type
) -> None:
    A = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    for k in (min(shape) // 2, min(shape)):
        svd = ss.randomized_svd(A, k)
        assert svd.method == "full decomposition"
        assert svd.converged
        check_values(svd, lapack(A)[:k])
        assert ss.svds(A, k, tol=1e-13).s.tobytes() == svd.s.tobytes()
    assert ss.randomized_svd(A, 4, passes=1).method == "randomized block Krylov, measured"


@pytest.mark.parametrize("shape", [(50, 30), (30, 50), (1, 7), (7, 1), (64, 64)])
def test_randomized_svd_of_everything_is_exact(shape: tuple[int, int], device: str) -> None:
    A, sigma = ks.gaussian(*shape)
    result = ss.randomized_svd(A, min(shape), passes=1, device=device)
    assert result.converged
    np.testing.assert_allclose(result.s, sigma, atol=1e-12 * sigma[0])


def test_randomized_svd_of_low_rank_completes_the_vectors(device: str) -> None:
    A, sigma = ks.low_rank(90, 70, rank=6)
    result = ss.randomized_svd(A, 12, passes=2, device=device)
    check_values(result, sigma)
    assert result.U is not None
    assert np.abs(result.U.T @ result.U - np.eye(12)).max() < 1e-10


@each_known
def test_svdvals_within_their_errors_and_floor(family: Family, sizes: Sizes, device: str) -> None:
    m, n, _ = sizes[device]
    A, _ = family(m, n)
    sigma = lapack(A)
    result = ss.svdvals(A, device=device)
    assert len(result) == len(sigma)
    assert np.all(np.abs(result.values - sigma) <= result.errors + ORACLE * sigma[0])
    assert np.max(np.abs(result.values - sigma)) <= 1e-7 * sigma[0]
    # On a device 80 additions or more follow one another, where the constant has room for 64.
    longer = 0 if device == "cpu" else 2.0**-54 * (16 + m // 1024)
    assert result.floor == pytest.approx(np.sqrt(2e-14 + longer) * sigma[0], rel=1e-6)
    resolved = sigma > 1e-3 * sigma[0]
    assert np.all(result.errors[resolved] < 2e-11 * sigma[0])


def test_half_precision_storage_is_exact(device: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    m, n = (300, 260) if device == "cpu" else (100, 80)
    A = ks.llm(m, n)[0].astype(ml_dtypes.bfloat16)
    sigma = lapack(A.astype(np.float64))
    check_values(ss.svds(A, 16, tol=1e-4, method="krylov", device=device), sigma)
    assert np.max(np.abs(ss.svdvals(A, device=device).values - sigma)) <= 1e-7 * sigma[0]


def test_equal_values_descend_to_the_last_bit() -> None:
    """LAPACK's two values of a rotation differ by roundings, and the second may be larger."""
    for seed in range(300):
        rng = np.random.default_rng(seed)
        turn, scale = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 10)
        c, s = scale * np.cos(turn), scale * np.sin(turn)
        result = ss.svds(np.array([[c, -s], [s, c]]), 2, method="gram")
        assert result.s[0] >= result.s[1]
