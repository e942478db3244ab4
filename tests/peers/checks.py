# SPDX-License-Identifier: BSD-3-Clause
"""Properties that any answer must have, whatever the matrix: compared with LAPACK in float64.

Each function returns what is wrong, a line for each, so that a test shows all of it at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import sigmascope as ss
from sigmascope.errors import ConvergenceWarning
from sigmascope.results import SVD

Array = NDArray[np.float64]

LAPACK = 1e-14
"""Error that LAPACK in float64 may itself have, in units of sigma_1."""

ORTHONORMAL, ROUNDED, FLOOR, FLOOR32 = 100, 2, 48, 96
"""In units of roundoff: how far from I the products of vectors may be; what rounding u and v to
their precision may add to a residual, times sigma_1; what a tolerance is always given, likewise,
in float64 and in float32, where sums of one sign round more."""


@dataclass(frozen=True, eq=False)
class Truth:
    """A matrix as it is stored, its singular values, and the power of two that both are in.

    Attributes
    ----------
    A : (m, n) as stored
    exact : (m, n) float64
        A times 2^-exponent, which is exact: its largest entry is between 1/2 and 1.
    sigma : (min(m, n),) descending, of `exact`
    exponent : int
        No number of float64 is lost near underflow or overflow in these units.
    """

    A: NDArray[np.floating]
    exact: Array
    sigma: Array
    exponent: int

    @classmethod
    def of(cls, A: NDArray[np.floating]) -> Truth:
        wide = A.astype(np.float64)
        assert np.all(np.isfinite(wide))
        exponent = int(np.frexp(np.abs(wide).max())[1])
        exact = np.ldexp(wide, -exponent)
        return cls(A, exact, np.linalg.svd(exact, compute_uv=False), exponent)

    @property
    def largest(self) -> float:
        return float(self.sigma[0])

    @property
    def slack(self) -> float:
        """Return LAPACK's error, and a unit in the last place of subnormal numbers."""
        return LAPACK * self.largest + float(np.ldexp(1.0, max(-1073 - self.exponent, -1073)))

    def units(self, x: ArrayLike) -> Array:
        """Numbers in units of sigma, in those of `exact`."""
        return np.ldexp(np.asarray(x, dtype=np.float64), -self.exponent)


def roundoff(result: SVD) -> float:
    """Return the unit roundoff of the blocks: mixed and split are float32."""
    return 2.0**-53 if result.precision == "float64" else 2.0**-24


def called(function: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, bool]:
    """The result, and whether there was a ConvergenceWarning; any other warning is an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        warnings.simplefilter("always", ConvergenceWarning)
        result = function(*args, **options)
    return result, bool(caught)


def beyond(what: str, error: Array, bound: Array | float, slack: float) -> list[str]:
    """Say where an error is farthest beyond its bound, if it is anywhere."""
    error, bound = np.broadcast_arrays(np.asarray(error), np.asarray(bound))
    if not (np.all(np.isfinite(error)) and np.all(np.isfinite(bound))):
        return [f"{what}: not finite, error {error}, bound {bound}"]
    over = error > bound + slack
    if not np.any(over):
        return []
    worst = int(np.argmax(np.where(over, error - bound, -np.inf)))
    ratio = error[worst] / bound[worst] if bound[worst] > 0 else np.inf
    return [
        f"{what}: error {error[worst]:.3g}, bound {bound[worst]:.3g}, error/bound {ratio:.3g} "
        f"at place {worst}; {int(over.sum())} of {len(over)} outside"
    ]


def of_values(s: ArrayLike, errors: ArrayLike, truth: Truth) -> list[str]:
    """Nonnegative, descending, and each within its own bound."""
    s, errors = truth.units(s), truth.units(errors)
    problems = beyond("values", np.abs(s - truth.sigma[: len(s)]), errors, truth.slack)
    if not (np.all(s >= 0) and np.all(errors >= 0)):
        problems.append(f"a negative value or bound: least {s.min():.3g}, {errors.min():.3g}")
    if np.any(np.diff(s) > 0):
        problems.append(f"values that do not descend, by up to {np.diff(s).max():.3g}")
    return problems


def residuals(result: SVD, truth: Truth) -> Array:
    """max(||A v - sigma u||, ||A^T u - sigma v||) of each triplet, measured in float64."""
    assert result.U is not None
    assert result.Vt is not None
    U, V, s = result.U.astype(float), result.Vt.T.astype(float), truth.units(result.s)
    left = np.linalg.norm(truth.exact.T @ U - V * s, axis=0)
    right = np.linalg.norm(truth.exact @ V - U * s, axis=0)
    return np.asarray(np.maximum(left, right))


def of_vectors(result: SVD, truth: Truth) -> list[str]:
    """Orthonormal, and no residual of either side larger than reported.

    Beside that, what rounding the vectors to their precision does to a residual.
    """
    u, k, problems = roundoff(result), len(result.s), []
    for name, X in (("U", result.U), ("V", result.Vt.T if result.Vt is not None else None)):
        assert X is not None
        off = np.abs(X.T.astype(float) @ X.astype(float) - np.eye(k)).max()
        problems += beyond(f"|{name}^T {name} - I|", np.array([off]), ORTHONORMAL * u, 0.0)
    slack = truth.slack + ROUNDED * u * truth.largest
    reported = truth.units(result.residuals)
    return problems + beyond("residuals", residuals(result, truth), reported, slack)


def of_energy(result: SVD, truth: Truth) -> list[str]:
    """||A||_F as it is, and no more energy in the values than it has, but for their errors."""
    fro = np.linalg.norm(truth.exact)
    norm = float(truth.units(result.fro_norm))
    problems = beyond("||A||_F", np.array([abs(norm - fro)]), 1e-12 * fro, truth.slack)
    s, errors = truth.units(result.s), truth.units(result.errors)
    excess = np.sum(s**2) - fro**2
    allowed = np.sum(2 * s * errors) + 1e-12 * fro**2
    return problems + beyond("sum of squares over ||A||_F^2", np.array([excess]), allowed, 0.0)


def of_svds(result: SVD, truth: Truth, tol: float, warned: bool, must: bool) -> list[str]:
    """All of the above; what converged is within the tolerance, plus the floor.

    A tolerance below the floor acts as it does, and a note says so.
    """
    problems = of_values(result.s, result.errors, truth) + of_energy(result, truth)
    u = roundoff(result)
    floor = (FLOOR32 if u > 1e-10 else FLOOR) * u
    allowed = (max(tol, floor) + floor) * truth.largest
    if tol < floor and not any("floor" in note for note in result.notes):
        problems.append(f"no note says that tol = {tol:g} is below the floor, {floor:.2g} sigma_1")
    if result.U is not None:
        problems += of_vectors(result, truth)
    if result.converged:
        error = np.abs(truth.units(result.s) - truth.sigma[: len(result.s)])
        what, reported = "values", truth.units(result.errors)
        if result.U is not None:
            what, reported = "residuals", truth.units(result.residuals)
            error = residuals(result, truth)
        problems += beyond(f"converged, {what}", error, allowed, truth.slack)
        problems += beyond(f"converged, reported {what}", reported, allowed, truth.slack)
    elif must:
        problems.append(f"not converged to {tol:g} in {result.passes} passes")
    if warned == result.converged:
        problems.append(f"converged: {result.converged}, but warned: {warned}")
    return problems


def of_randomized(result: SVD, truth: Truth) -> list[str]:
    """All of the above; what converged is the best of its rank, to 64 eps of the energy of A."""
    problems = of_values(result.s, result.errors, truth) + of_energy(result, truth)
    problems += of_vectors(result, truth)
    if result.converged:
        assert result.U is not None
        assert result.Vt is not None
        s = truth.units(result.s)
        rest = truth.exact - (result.U.astype(float) * s) @ result.Vt.astype(float)
        energy = np.sum(truth.exact**2)
        left, best = np.array([np.sum(rest**2)]), np.sum(truth.sigma[len(s) :] ** 2)
        allowed = best + 128 * roundoff(result) * energy
        problems += beyond("converged, energy left", left, allowed, 0.0)
    return problems


def measures_of(sigma: Array) -> dict[str, float]:
    """Measures that are sums over the whole spectrum, from their definitions."""
    p, q = sigma / sigma.sum(), sigma**2 / np.sum(sigma**2)
    p, q = p[p > 0], q[q > 0]
    return {
        "nuclear_norm": float(sigma.sum()),
        "effective_rank": float(np.exp(-np.sum(p * np.log(p)))),
        "effective_rank_energy": float(np.exp(-np.sum(q * np.log(q)))),
        "participation_ratio": float(1.0 / np.sum(q**2)),
        "stable_rank": float(np.sum(sigma**2) / sigma[0] ** 2),
    }


def of_measures(result: Callable[[str], Any], names: str, truth: Truth) -> list[str]:
    """Each within 4 of its errors, which are to hold it always; 1e-12 of it is forgiven."""
    problems, scale = [], {"nuclear_norm": truth.exponent}
    for name, true in measures_of(truth.sigma).items():
        if name in names.split():
            try:
                measure = result(name)
            except KeyError as error:
                problems.append(str(error))
                continue
            value, error = np.ldexp([measure.value, measure.error], -scale.get(name, 0))
            off = np.array([abs(value - true)])
            what = f"{name} {value:.9g} +- {error:.2g} for {true:.9g}, 4 errors"
            problems += beyond(what, off, 4 * error, 1e-12 * true + truth.slack)
    return problems


def gathered(where: str, problems: list[str]) -> list[str]:
    """The problems of one call, each with the call."""
    return [f"{where}: {problem}" for problem in problems]


def solved(A: NDArray[np.floating], k: int, tol: float = 1e-6, **options: Any) -> SVD:
    """svds, which has to converge and to pass every check."""
    truth = Truth.of(A)
    result, warned = called(ss.svds, A, k, tol=tol, **options)
    assert isinstance(result, SVD)
    problems = of_svds(result, truth, tol, warned, must=True)
    assert not problems, "\n".join(problems)
    assert len(result.s) == k
    assert result.U is None or result.U.shape == (A.shape[0], k)
    assert result.Vt is None or result.Vt.shape == (k, A.shape[1])
    return result


def randomized(A: NDArray[np.floating], k: int, **options: Any) -> SVD:
    """randomized_svd, which has to pass every check."""
    result = ss.randomized_svd(A, k, **options)
    problems = of_randomized(result, Truth.of(A))
    assert not problems, "\n".join(problems)
    return result


def product(result: SVD) -> Array:
    """U diag(s) Vt."""
    assert result.U is not None
    assert result.Vt is not None
    return np.asarray((result.U.astype(float) * result.s) @ result.Vt.astype(float))


def components(result: SVD) -> Array:
    assert result.Vt is not None
    return np.abs(result.Vt.astype(float))


def scores(A: NDArray[np.floating], result: SVD) -> Array:
    """A V: what a transform gives."""
    assert result.Vt is not None
    return np.asarray(A @ result.Vt.T.astype(float))
