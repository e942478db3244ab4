# SPDX-License-Identifier: BSD-3-Clause
"""svdvals, spectrum, spectral_density, moments and LowRank: measures within their errors."""

from __future__ import annotations

from typing import Any

import numpy as np

import sigmascope as ss
from sigmascope.results import Density, Moments, SingularValues, Spectrum
from sigmascope.spectra import statistics

from . import generators
from .cases import Case
from .gallery import Array
from .outcome import FLOOR, Outcome, call
from .stored import rounded
from .triplets import check, refusals, same_bits
from .truth import Truth

ALWAYS = 8.0
"""Standard errors beyond which a measure is wrong: "value +- 4 error always" and as much again."""
BOUND = 2.0
"""The same of a measure whose error is a bound to first order."""
SIGMA_UNITS = ("fro_norm", "spectral_norm", "nuclear_norm", "mp_edge")
SKIPPED = ("alpha", "log_alpha", "condition", "randomized_distance")
"""Fits of power laws choose where they begin; a condition number may be of the floor."""
REFERENCE = 4e-15
"""Error that LAPACK may have, in units of sigma_1."""


def svdvals(case: Case, A: Any, truth: Truth, outcome: Outcome) -> None:
    result = call(outcome, lambda: ss.svdvals(A, **case.options), refusals(case, truth))
    if result is not None:
        outcome.z.clear()
        every(result, truth, outcome)
        _same(case, ss.svdvals, result, outcome, "values", "errors")


def _same(case: Case, function: Any, result: Any, outcome: Outcome, *names: str) -> None:
    def again(B: Any, more: dict[str, Any]) -> Any:
        return function(B, **case.options | more)

    same_bits(case, again, result, outcome, names)


def every(result: SingularValues, truth: Truth, outcome: Outcome) -> None:
    """All values within their errors."""
    values, errors = truth.down(result.values), truth.down(result.errors)
    if not np.isfinite([*values, *errors, result.floor, result.fro_norm]).all():
        outcome.wrong("not finite", np.inf, f"values {values[:3]}, errors {errors[:3]}")
        return
    if len(values) > min(truth.shape) or values.min() < 0 or np.any(np.diff(values) > 0):
        outcome.wrong("malformed", np.inf, f"{len(values)} values, {values[:3]}")
        return
    _within(values, errors, truth, outcome)
    off = abs(truth.down(result.fro_norm) - truth.fro)
    outcome.require("norm", off, 1e-12 * truth.fro + truth.quantum, "||A||_F")


def _within(values: Array, errors: Array, truth: Truth, outcome: Outcome) -> None:
    off, outside = truth.beyond(values, errors)
    if np.any(outside > 0):
        i = int(np.argmax(np.where(outside > 0, off / np.maximum(errors, 1e-300), 0)))
        first = max(truth.values[0], 1e-300)
        outcome.wrong(
            "outside bound",
            off[i] / max(errors[i], 1e-300),
            f"value {i}: off {off[i] / first:.3g}, bound {errors[i] / first:.3g} sigma_1",
        )


def spectrum(case: Case, A: Any, truth: Truth, outcome: Outcome) -> None:
    result = call(outcome, lambda: ss.spectrum(A, **case.options), refusals(case, truth))
    if result is None:
        return
    outcome.z.clear()
    outcome.converged = result.converged
    top, errors = truth.down(result.top), truth.down(result.top_errors)
    if not np.isfinite([*top, *errors]).all():
        outcome.wrong("not finite", np.inf, f"top {top[:3]}, errors {errors[:3]}")
        return
    _within(top, errors, truth, outcome)
    if result.values is not None and result.value_errors is not None:
        _within(truth.down(result.values), truth.down(result.value_errors), truth, outcome)
    elif result.converged:
        floor = FLOOR[_digits(result.precision)]
        tolerance = max(case.options.get("tol", 1e-3), floor) + floor
        limit = top[0] * tolerance * 1.01 + 1.5 * truth.quantum
        outcome.require("converged above tolerance", errors, limit)
    if result.svd is not None:
        check(result.svd, len(result.svd.s), truth, outcome, vectors=result.svd.U is not None)
        outcome.converged = result.converged
    of_spectrum(result, truth, outcome)
    if result.moments is not None:
        of_moments(result.moments, case.numbers(), truth, outcome)
    _same(case, ss.spectrum, result, outcome, "top", "top_errors", "values")


def _digits(precision: str) -> str:
    return "float64" if precision == "float64" else "float32"


def of_spectrum(result: Spectrum, truth: Truth, outcome: Outcome) -> None:
    """Every measure against that of LAPACK's values, which has an error of its own at a tie."""
    if truth.values[0] <= 0:
        return
    errors = np.full(len(truth.values), REFERENCE * truth.values[0])
    true = statistics.measures_from_values(
        truth.values,
        errors,
        statistics.MatrixNorms(truth.shape, truth.fro),
        floor=errors[0],
        k=result.k,
    )
    for name, measure in result.measures.items():
        if name in true and not name.startswith(SKIPPED):
            value, error = measure.value, measure.error
            if name in SIGMA_UNITS:
                if np.isinf(value) and not representable(true[name].value, truth):
                    continue
                value, error = float(truth.down(value)), float(truth.down(error))
            basis = measure.basis
            if name == "numerical_rank" and basis == "spectrum":
                continue  # its cut is the floor, where that is higher
            _compare(name, value, error, true[name].value, true[name].error, basis, outcome)


def _compare(
    name: str,
    value: float,
    error: float,
    true: float,
    doubt: float,
    basis: str,
    outcome: Outcome,
) -> None:
    if not (np.isfinite(value) and np.isfinite(error) and error >= 0):
        what = "malformed" if error < 0 else "not finite"
        outcome.wrong(what, np.inf, f"{name} = {value} +- {error} for {true:.6g}")
        return
    off = max(abs(value - true) - doubt - 1e-13 * abs(true), 0.0)
    z = off / max(error, 1e-300) if off > 0 else 0.0
    outcome.z[f"{name} ({basis})"] = min(z, 1e300)
    if z > (ALWAYS if basis == "density" else BOUND):
        shown = f"{name} = {value:.8g} +- {error:.2g} for {true:.8g} ({basis})"
        outcome.wrong("measure", z, shown)


def spectral_density(case: Case, A: Any, truth: Truth, outcome: Outcome) -> None:
    options = dict(case.options)
    allowed = refusals(case, truth)
    if min(truth.shape) < 2:
        allowed.append((ValueError, "at least 2 singular values"))
    result = call(outcome, lambda: ss.spectral_density(A, **options), allowed)
    if result is None:
        return
    outcome.z.clear()
    _same(case, ss.spectral_density, result, outcome, "nodes", "weights")
    s = truth.values
    if s[0] <= 0:
        return
    doubt = REFERENCE * s[0]
    p, energy = s / s.sum(), (s / truth.fro) ** 2
    sigma = truth.down
    nuclear = result.nuclear_norm()
    if np.isfinite(nuclear.value) or representable(float(s.sum()), truth):
        _compare(
            "nuclear norm",
            float(sigma(nuclear.value)),
            float(sigma(nuclear.error)),
            float(s.sum()),
            len(s) * doubt,
            "density",
            outcome,
        )
    for name, measure, true in (
        ("effective rank", result.effective_rank(), np.exp(-_entropy(p))),
        ("effective rank of energy", result.effective_rank_energy(), np.exp(-_entropy(energy))),
        ("participation ratio", result.participation_ratio(), 1 / np.sum(energy**2)),
    ):
        slack = 1e-12 * len(s)
        _compare(name, measure.value, measure.error, float(true), slack, "density", outcome)
    _steps(result, truth, outcome)


def representable(sigma: float, truth: Truth) -> bool:
    """Whether what is in these units is a number of float64 in those of the stored matrix."""
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.ldexp(1.001 * sigma, truth.shift)))


def _entropy(p: Array) -> float:
    return float(np.sum(p * np.log(np.where(p > 0, p, 1.0))))


def _steps(result: Density, truth: Truth, outcome: Outcome) -> None:
    """Counts and quantiles, which are any number between those on both sides of a tie."""
    s, n = truth.values, len(truth.values)
    slack = 1e-6 * s[0] + truth.quantum  # of x, where that is subnormal
    for share in (0.1, 0.5, 0.9):
        x = float(share * s[0])
        measure = result.count_above(float(np.ldexp(x, truth.shift)))
        most, least = int(np.sum(s > x - slack)), int(np.sum(s > x + slack))
        middle, half = (most + least) / 2, (most - least) / 2
        _compare("count", measure.value, measure.error, middle, half, "density", outcome)
    rising = s[::-1]
    for q in (0.25, 0.5, 0.75):
        measure = result.quantile(q)
        low = rising[max(int(np.floor(q * (n - 1))) - 1, 0)]
        high = rising[min(int(np.ceil(q * (n - 1))) + 1, n - 1)]
        value, error = (float(truth.down(x)) for x in (measure.value, measure.error))
        middle, half = float(high + low) / 2, float(high - low) / 2 + slack
        _compare("quantile", value, error, middle, half, "density", outcome)


def moments(case: Case, A: Any, truth: Truth, outcome: Outcome) -> None:
    result = call(outcome, lambda: ss.moments(A, **case.options), refusals(case, truth))
    if result is not None:
        outcome.z.clear()
        of_moments(result, case.numbers(), truth, outcome)
        _same(case, ss.moments, result, outcome, "mean", "std", "kurtosis", "column_norms")


def of_moments(result: Moments, numbers: Array, truth: Truth, outcome: Outcome) -> None:
    X = truth.X.astype(np.longdouble)
    mean = X.mean()
    std = np.sqrt(np.mean((X - mean) ** 2))
    for name, got, exact in (
        ("count", result.count, X.size),
        ("zeros", result.zeros, np.sum(numbers == 0)),
        ("min", result.min, numbers.min()),
        ("max", result.max, numbers.max()),
    ):
        if got != exact:
            outcome.wrong("moments", np.inf, f"{name} = {got}, not {exact}")
    size = float(np.sqrt(np.mean(X**2)))
    off = [truth.down(result.mean) - float(mean), truth.down(result.std) - float(std)]
    outcome.require("moments", np.abs(off), 1e-11 * size + truth.quantum, "mean, std")
    off = abs(truth.down(result.fro_norm) - truth.fro)
    outcome.require("moments", off, 1e-12 * truth.fro + truth.quantum, "||A||_F")
    columns = np.sqrt(np.sum(X * X, axis=0)).astype(np.float64)
    off = np.abs(truth.down(result.column_norms) - columns)
    outcome.require("moments", off, 1e-12 * columns + 4 * truth.quantum, "column norms")
    if std > 1e-6 * size:
        z = (X - mean) / std
        loss = 1e-9 * max(1.0, float(abs(mean) / std)) ** 2
        for name, got, power in (
            ("skewness", result.skewness, 3),
            ("kurtosis", result.kurtosis, 4),
        ):
            exact, scale = float(np.mean(z**power)), float(np.mean(np.abs(z) ** power))
            outcome.require("moments", abs(got - exact), loss * scale, f"{name} {got} for {exact}")


def factors(case: Case) -> tuple[Array, Array]:
    """B, which is the case's own matrix, and A of another class, in the same dtype."""
    names = list(generators.SIMPLE)
    kind = names[case.matrix_seed % len(names)]
    A = generators.make(kind, case.matrix_seed, case.n, case.options["columns"])
    return case.numbers(), rounded(A, case.dtype, 0)


def product(case: Case, numbers: tuple[Array, Array]) -> Truth:
    B, A = (x.astype(np.longdouble) for x in numbers)
    shift = int(np.frexp(np.abs(numbers[0]).max(initial=0.0))[1])
    whole = np.ldexp(B, -shift) @ A * np.longdouble(case.options["scale"])
    whole = whole.astype(np.float64)
    truth = Truth(whole, doubt=2.0**-53 * float(np.linalg.norm(whole)))
    truth.values[case.n :] = 0.0  # of rank n by its form
    truth.shift += shift
    return truth


def low_rank(case: Case, B: Any, A: Any, truth: Truth, outcome: Outcome) -> None:
    product = ss.LowRank(B, A, case.options["scale"])
    k = min(case.options["k"], *product.shape)
    result = call(outcome, lambda: product.spectrum(k, vectors=True), {})
    if result is None:
        return
    outcome.z.clear()
    every(product.singular_values(), truth, outcome)
    of_spectrum(result, truth, outcome)
    assert result.svd is not None
    check(result.svd, len(result.svd.s), truth, outcome, vectors=True)
