# SPDX-License-Identifier: BSD-3-Clause
"""Probabilities of numbers: edges of noise, densities, sketches, certificates."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import sigmascope as ss
from sigmascope.errors import ConvergenceWarning
from sigmascope.spectra.statistics import fit_power_law
from sigmascope.spectra.statistics.quantisation import Profile, direction_noise, hurt_directions
from sigmascope.streaming import LinearSketch, Sketch
from tests.probabilities.noises import MATRICES, SPECTRA, STRUCTURED, Array
from tests.probabilities.promise import ERRORS, Level, Promise, Statistic, fails

SQUARE, WIDE = (48, 48), (48, 160)
ORDER = 120

NOISY = MATRICES | STRUCTURED


def _outliers(noise: str) -> Statistic:
    def statistic(rng: np.random.Generator) -> float:
        shape = SQUARE if rng.random() < 0.5 else WIDE
        count = ss.spectrum(NOISY[noise](rng, shape), effort="exact").get("mp_outliers")
        return float(count is None or not count.value - count.error > 0)

    return statistic


def _edge(noise: str) -> Statistic:
    def statistic(rng: np.random.Generator) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # matrices without an edge
            return float(ss.low_rank(NOISY[noise](rng, WIDE), "edge").rank == 0)

    return statistic


def _channels(noise: str) -> Statistic:
    def statistic(rng: np.random.Generator) -> float:
        moments = ss.moments(MATRICES[noise](rng, WIDE))
        return float(not len(moments.outlier_rows()) + len(moments.outlier_columns()))

    return statistic


def _hurt(noise: str) -> Statistic:
    def statistic(rng: np.random.Generator) -> list[float]:
        E = MATRICES[noise](rng, WIDE[::-1])
        V = np.linalg.qr(rng.standard_normal((E.shape[1], 8)))[0]
        profile = Profile.even(E.shape)
        expected = direction_noise(profile, float(np.linalg.norm(E)), V)
        hurt = hurt_directions(np.linalg.norm(E @ V, axis=0), expected, profile)
        return [float(i + 1 not in hurt) for i in range(8)]

    return statistic


def _matrix(rng: np.random.Generator, sigma: Array) -> Array:
    n = len(sigma)
    U, V = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
    return np.asarray((U * sigma) @ V.T, np.float32)


def _density(spectrum: str, kind: str) -> Statistic:
    def statistic(rng: np.random.Generator) -> list[float]:
        A = _matrix(rng, SPECTRA[spectrum](ORDER))
        sigma = np.linalg.svd(A.astype(float), compute_uv=False)
        passes, probes = ((12, 32), (6, 16), (4, 8))[int(rng.integers(3))]
        density = ss.spectral_density(A, passes=passes, probes=probes, seed=int(rng.integers(1000)))
        if kind == "counts":
            places = rng.integers(0, ORDER - 1, 6)
            cuts = (sigma[places] + sigma[places + 1]) / 2
            values, errors = density.counts_above(cuts)
            truths = np.sum(sigma[:, None] > cuts, axis=0).astype(float)
        elif kind == "quantiles":
            shares = rng.random(6)
            values, errors = density.quantiles(shares)
            truths = np.quantile(sigma, shares)
        else:
            p = sigma / sigma.sum()
            results = [
                density.nuclear_norm(),
                density.effective_rank(),
                density.participation_ratio(),
            ]
            values, errors = (
                np.array([getattr(m, x) for m in results]) for x in ("value", "error")
            )
            rank = np.exp(-np.sum(p * np.log(np.maximum(p, 1e-300))))
            truths = np.array([sigma.sum(), rank, np.sum(sigma**2) ** 2 / np.sum(sigma**4)])
        rounding = 1e-6 * np.abs(truths) + 1e-12
        return list((-np.abs(values - truths) / np.maximum(errors, rounding)).tolist())

    return statistic


def _alpha(alpha: float, body: float) -> Statistic:
    """Fit a Pareto tail, above a body of even values if `body` is not 0."""

    def statistic(rng: np.random.Generator) -> float:
        lambdas = (1 - rng.random(400)) ** (-1 / (alpha - 1))
        lambdas[: int(400 * body)] = rng.random(int(400 * body))
        fit = fit_power_law(np.sort(np.sqrt(lambdas))[::-1])
        return -abs(fit.alpha - alpha) / fit.standard_error

    return statistic


def _sketch(spectrum: str) -> Statistic:
    def statistic(rng: np.random.Generator) -> float:
        A = _matrix(rng, SPECTRA[spectrum](ORDER)).astype(float)
        seed = int(rng.integers(1 << 30))
        svd = Sketch(ORDER, k=4, width=12, seed=seed).update(A).svd()
        off = np.abs(svd.s - np.linalg.svd(A, compute_uv=False)[:4])
        return float(np.all(off <= svd.errors))

    return statistic


def _linear(spectrum: str, norm: bool) -> Statistic:
    def statistic(rng: np.random.Generator) -> float:
        A = _matrix(rng, SPECTRA[spectrum](ORDER)).astype(float)
        sketch = LinearSketch(A.shape, k=4, seed=int(rng.integers(1 << 30)))
        sketch.update(A)
        if norm:
            _, low, high = sketch.residual_norm(0)
            return float(low <= np.linalg.norm(A) <= high)
        svd = sketch.svd()
        return float(np.all(np.abs(svd.s - np.linalg.svd(A, compute_uv=False)[:4]) <= svd.errors))

    return statistic


def _bound(spectrum: str, function: str) -> Statistic:
    """Compare the k largest values with the errors that a function states."""

    def statistic(rng: np.random.Generator) -> float:
        A = _matrix(rng, SPECTRA[spectrum](ORDER)).astype(float)
        seed, k = int(rng.integers(1 << 30)), 5
        given: Any = A
        if function == "operator":
            given = aslinearoperator(A)
        call = ss.randomized_svd if function == "randomized_svd" else ss.svds
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            svd = call(given, k, seed=seed)
        off = np.abs(svd.s - np.linalg.svd(A, compute_uv=False)[:k])
        return float(np.all(off <= svd.errors + 1e-13 * svd.s[0]))

    return statistic


def _transpose(kind: str) -> Statistic:
    """Compare the residuals of an operator, whose transpose is off by 1e-8, with A itself."""

    def statistic(rng: np.random.Generator) -> float:
        m, n = (270, 300) if rng.random() < 0.5 else (3, 60)
        A = rng.standard_normal((m, n))
        U, s, Vt = np.linalg.svd(A, full_matrices=False)
        x = rng.standard_normal(n)
        if kind == "outside the range":
            x -= Vt.T @ (Vt @ x)
        E = np.outer(x / np.linalg.norm(x), U[:, int(rng.integers(3))])
        if kind == "all directions":
            E = rng.standard_normal((n, m))
        E *= 1e-8 * s[0] / np.linalg.norm(E, 2)
        operator = LinearOperator(
            A.shape, matvec=lambda v: A @ v, rmatvec=lambda u: A.T @ u + E @ u, dtype=float
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            svd = ss.svds(operator, 3, seed=int(rng.integers(1 << 30)))
        assert svd.U is not None
        assert svd.Vt is not None
        off = np.linalg.norm(A.T @ svd.U - svd.Vt.T * svd.s, axis=0)
        return float(np.all(off <= svd.residuals + 1e-14 * s[0]))

    return statistic


ALL = tuple(SPECTRA)
DIRECTIONS = ("one direction", "outside the range", "all directions")

PROMISES = (
    Promise(
        "mp_outliers", "mp_outliers − error is significant at 1 %",
        "noise in which neighbours correlate by at most .3; 48 × 48 and 48 × 160",
        fails(0.01, "significant"), {noise: _outliers(noise) for noise in NOISY}, tuple(MATRICES),
    ),
    Promise(
        "low_rank edge", "`low_rank(A, \"edge\")` keeps what is significant at 1 %",
        "noise in which neighbours correlate by at most .3; 48 × 160",
        fails(0.01, "rank above 0"), {noise: _edge(noise) for noise in NOISY}, tuple(MATRICES),
        share=0.5,
    ),
    Promise(
        "outlier channels", "noise has outlier channels in less than one matrix of a million",
        "entries independent, of one kurtosis; 48 × 160", fails(1e-6, "has one"),
        {noise: _channels(noise) for noise in MATRICES},
        ("Gaussian", "uniform", "Laplace", "Student 5", "10 % of the entries",
         "AR(1) .3 along rows", "weights in bfloat16", "weights in 4 bits"),
    ),
    Promise(
        "hurt directions", "noise hurts one direction in a million (quantisation)",
        "errors independent, of one size; 160 rows", fails(1e-6, "called hurt"),
        {noise: _hurt(noise) for noise in MATRICES},
        ("Gaussian", "uniform", "Laplace", "weights in bfloat16", "weights in 4 bits"),
    ),
    *(
        Promise(
            f"density, {kind}", f"value ± 2 error in about 95 %, ± 4 always: {kind} of a density",
            "any spectrum; order 120, 4 to 12 passes", ERRORS,
            {spectrum: _density(spectrum, kind) for spectrum in SPECTRA}, ALL, share=0.25,
        )
        for kind in ("counts", "quantiles", "norms and ranks")
    ),
    Promise(
        "alpha", "alpha ± 2 error: 90 % for exact Pareto values, as x_min is chosen too",
        "Pareto values from x_min on; 400 values", (Level("beyond 2 errors", 0.12, -2.0),),
        {"Pareto, alpha 2": _alpha(2.0, 0), "Pareto, alpha 3.5": _alpha(3.5, 0),
         "even body of a half": _alpha(2.5, 0.5), "even body of nine tenths": _alpha(2.5, 0.9)},
        ("Pareto, alpha 2", "Pareto, alpha 3.5"), share=0.5,
    ),
    Promise(
        "Sketch", "errors of `Sketch.svd` fail for at most one seed in 20,000",
        "the matrix is not made with the seed", fails(5e-5, "value outside"),
        {spectrum: _sketch(spectrum) for spectrum in SPECTRA}, ALL, share=0.25,
    ),
    Promise(
        "LinearSketch", "errors of `LinearSketch.svd` fail with probability 10⁻³",
        "the matrix is not made with the seed", fails(1e-3, "value outside"),
        {spectrum: _linear(spectrum, False) for spectrum in SPECTRA}, ALL, share=0.25,
    ),
    Promise(
        "LinearSketch, norm", "interval of `residual_norm` with at least 99.8 %",
        "the matrix is not made with the seed", fails(2e-3, "norm outside"),
        {spectrum: _linear(spectrum, True) for spectrum in SPECTRA}, ALL, share=0.25,
    ),
    *(
        Promise(
            f"errors, {function}", f"{statement} fail with probability {rate:.0e}",
            "the matrix is not made with the seed", fails(rate, "value outside"),
            {spectrum: _bound(spectrum, function) for spectrum in SPECTRA}, ALL, share=0.25,
        )
        for function, statement, rate in (
            ("randomized_svd", "errors of `randomized_svd`", 1e-6),
            ("svds", "errors of `svds`, every copy of a value included", 1e-6),
            ("operator", "errors of `svds` of an operator", 3e-6),
        )
    ),
    Promise(
        "residuals, operator", "residuals miss an error of a transpose in one case of a million",
        "the operator is not made with the order", fails(1e-6, "residual outside"),
        {kind: _transpose(kind) for kind in DIRECTIONS}, DIRECTIONS, share=0.5,
    ),
)  # fmt: skip
