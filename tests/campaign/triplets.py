# SPDX-License-Identifier: BSD-3-Clause
"""svds and randomized_svd: values within their errors, vectors as good as they are said to be."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import sigmascope as ss
from sigmascope.errors import MemoryLimitError
from sigmascope.results import SVD
from tests.support.known_products import INEXACT

from .cases import Case
from .outcome import FLOOR, ORTHOGONAL, Outcome, Refusal, call
from .stored import OPERATORS, PRODUCTS, SHARDED, stored
from .truth import Truth, product_of_rows

WORK = 2.0
"""Most processor time of a search, in units of that of the full decomposition."""
_REPEATS = 12
"""Most timings of a case that is above it."""
_CALL = 0.005
"""Seconds that any call may take beside."""
_FASTEST = 2e10
"""Flops per second that no decomposition is faster than: a search that took less needs no look."""
_WORTH_TIMING = 128
"""Below this order calls take their time by themselves, and the decomposition takes none."""


def refusals(case: Case, truth: Truth) -> list[Refusal]:
    """List what may be refused: too little memory, numbers that no float32 block holds."""
    results: list[Refusal] = []
    if "memory_limit" in case.options:
        results.append((MemoryLimitError, "memory limit"))
    if truth.shift < -1000 and case.options.get("precision", "float64") != "float64":
        results.append((ValueError, "float32 blocks cannot hold a matrix"))
    if case.layout.startswith("not linear"):
        results += [
            (ValueError, "is not linear"),
            (ValueError, "does not multiply by the transpose"),
        ]
    return results


def svds(case: Case, A: Any, truth: Truth, outcome: Outcome) -> None:
    options = dict(case.options)
    k = options.pop("k")
    allowed = refusals(case, truth)
    if options.get("max_passes", 300) * options.get("block", 1) < k:
        allowed.append((ValueError, "cannot hold"))
    result = call(outcome, lambda: ss.svds(A, k, **options), allowed)
    if result is None:
        return
    warned = outcome.z.pop("warned of convergence") > 0
    if warned == result.converged:
        outcome.wrong("warning", 1.0, f"converged {result.converged}, warned {warned}")
    check(result, k, truth, outcome, vectors=options["vectors"], layout=case.layout)
    if result.converged:
        reached = result.residuals if options["vectors"] else result.errors
        floor = FLOOR[_digits(result.precision)]
        limit = max(options.get("tol", 1e-4), floor) + floor
        limit = truth.down(float(result.s[0])) * limit * 1.01 + 1.5 * truth.quantum
        outcome.require("converged above tolerance", truth.down(reached), limit)
        most = truth.down(float(result.s[0])) * (1 + 2 * floor) + 1.5 * truth.quantum
        outcome.require("converged above tolerance", truth.down(result.errors), most, "of a value")
    same_bits(case, lambda B, more: ss.svds(B, k, **options | more), result, outcome)
    alone = options | {"num_threads": 1}
    if case.layout in PRODUCTS:  # Python multiplies, and some formats are slow
        return
    if "memory_limit" not in case.options:  # there may be no room for the Gram matrix
        outcome.work = work(lambda: ss.svds(A, k, **alone), outcome.seconds, truth, outcome)


def randomized_svd(case: Case, A: Any, truth: Truth, outcome: Outcome) -> None:
    options = dict(case.options)
    k = options.pop("k")
    result = call(outcome, lambda: ss.randomized_svd(A, k, **options), refusals(case, truth))
    if result is None:
        return
    outcome.z.pop("warned of convergence")
    check(result, k, truth, outcome, vectors=True, layout=case.layout)
    if result.converged:
        # Of the energy nothing is left but rounding; of a value that may be the root of it.
        exact = np.sqrt(64 * np.finfo(_digits(result.precision)).eps) * truth.fro + truth.quantum
        outcome.require("converged above tolerance", truth.down(result.errors), exact)
    same_bits(case, lambda B, more: ss.randomized_svd(B, k, **options | more), result, outcome)


def _digits(precision: str) -> str:
    return "float64" if precision == "float64" else "float32"


def check(
    result: SVD, k: int, truth: Truth, outcome: Outcome, *, vectors: bool, layout: str = "plain"
) -> None:
    """Check the properties of every SVD, whatever made it; the residuals are computed anew."""
    outcome.converged = result.converged
    s, errors = truth.down(result.s), truth.down(result.errors)
    residuals = truth.down(result.residuals)
    estimated = layout in OPERATORS and min(truth.shape) > 256
    fro = float(truth.down(result.fro_norm))
    if estimated and np.isnan(fro):
        fro = truth.fro
    numbers = [s, errors, residuals, fro]
    numbers += [x for x in (result.U, result.Vt) if x is not None]
    if not all(np.isfinite(x).all() for x in numbers):
        outcome.wrong("not finite", np.inf, f"s {s[:3]}, errors {errors[:3]}")
        return
    if len(s) != k or np.any(np.diff(s) > 0) or min(s.min(), errors.min(), residuals.min()) < 0:
        outcome.wrong("malformed", np.inf, f"{len(s)} values {s[:4]}, errors {errors[:4]}")
        return
    off, outside = truth.beyond(s, errors)
    bad = outside > 0
    if bad.any():
        i = int(np.argmax(np.where(bad, off / np.maximum(errors, 1e-300), 0)))
        first = max(truth.values[0], 1e-300)
        outcome.wrong(
            "outside bound",
            off[i] / max(errors[i], 1e-300),
            f"value {i} of {k}: off {off[i] / first:.3g}, bound {errors[i] / first:.3g} sigma_1, "
            f"{'converged' if result.converged else 'not converged'}, {bad.sum()} such",
        )
    digits = _digits(result.precision)
    loss = _loss(layout, digits)
    most = max(1e-12, loss) * truth.fro + truth.quantum
    outcome.require("norm", abs(fro - truth.fro), most, "||A||_F")
    slack = max(1e-12 if digits == "float64" else 4e-6, loss)
    outcome.require(
        "values beyond the norm",
        np.linalg.norm(s),
        truth.fro * (1 + slack) + truth.quantum * np.sqrt(len(s)),
    )
    if vectors:
        _vectors(result, s, residuals, truth, outcome)


def _loss(layout: str, digits: str) -> float:
    """Return the share by which the image of the identity under an operator may be off."""
    kind, size = INEXACT.get(layout, ("", 0.0))
    if kind == "not linear":
        return 1.0  # which has no norm
    if layout in OPERATORS and (digits == "float32" or layout == "products in float32"):
        return 4e-6
    return 10 * size


def _defects(X: Any, V: Any, U: Any, s: Any, limit: Any) -> Any:
    """|X v - s u|, in extended precision where the sums of float64 may have made it too large."""
    norms = np.linalg.norm(product_of_rows(X.T, V) - U * s, axis=0)
    if np.any(norms > limit):
        X, V, U, s = (x.astype(np.longdouble) for x in (X, V, U, s))
        rest = product_of_rows(X.T, V) - U * s
        norms = np.linalg.norm(rest.astype(np.float64), axis=0)
    return norms


def _vectors(result: SVD, s: Any, residuals: Any, truth: Truth, outcome: Outcome) -> None:
    assert result.U is not None
    assert result.Vt is not None
    U, V = result.U.astype(np.float64), result.Vt.T.astype(np.float64)
    for name, Q, stored_as in (("U", U, result.U), ("V", V, result.Vt)):
        worst = np.abs(product_of_rows(Q, Q) - np.eye(len(s))).max()
        outcome.require("not orthonormal", worst, ORTHOGONAL[str(stored_as.dtype)], name)
    # Of the vectors as they are stored; float64 makes these to 1e-15 sigma_1.
    limit = 1.01 * residuals + 4e-15 * truth.values[0] + truth.quantum
    rounding = FLOOR[_digits(result.precision)] * truth.values[0]
    left = _defects(truth.X, V, U, s, limit)
    right = _defects(truth.X.T, U, V, s, limit)
    for name, rest in (("A v - s u", left), ("A^T u - s v", right)):
        far = np.any(rest > limit + rounding)
        outcome.require("residual" if far else "residual, by rounding", rest, limit, name)


def same_bits(
    case: Case,
    again: Callable[[Any, dict[str, Any]], Any],
    result: Any,
    outcome: Outcome,
    names: tuple[str, ...] = ("s", "errors", "residuals", "U", "Vt"),
) -> None:
    """One case in sixteen: other threads, panels and shards give the same bits."""
    if case.index % 16 or case.layout not in SHARDED or "memory_limit" in case.options:
        return
    for layout, more in (("grid", {"num_threads": 2}), ("plain", {"panel_rows": 16})):
        other = again(stored(case.numbers(), case.dtype, layout, case.matrix_seed), more)
        for name in names:
            one, two = getattr(result, name), getattr(other, name)
            if one is not None and not np.array_equal(one, two):
                outcome.wrong("other bits", np.inf, f"{name} of layout {layout}, {more}")
                return


def work(search: Callable[[], Any], seconds: float, truth: Truth, outcome: Outcome) -> float | None:
    """Processor time of a search over LAPACK's of the full decomposition, of large matrices.

    That has vectors, whether the search was to have some or not.
    """
    short, long = sorted(truth.shape)
    if short < _WORTH_TIMING or seconds < 2 * long * short**2 / _FASTEST:
        return None

    # LAPACK is sooner done with a special matrix: what is meant is the cost of any.
    dense = np.random.default_rng(0).standard_normal(truth.shape)

    def timed(call: Callable[[], Any]) -> float:
        # Of this thread: that of the process ticks in 4 ms while a timer runs (worker.py).
        started = time.thread_time()
        call()
        return time.thread_time() - started

    # The least of several, taken in turn: other processes slow the machine down.
    seconds = whole = np.inf
    for repeated in range(_REPEATS):
        seconds = min(seconds, timed(search))
        whole = min(whole, timed(lambda: np.linalg.svd(dense, full_matrices=False)))
        if repeated >= 2 and seconds - _CALL <= WORK * whole:
            break
    ratio = seconds / whole
    if seconds - _CALL > WORK * whole:
        outcome.wrong("work", ratio, f"{seconds:.3f} s for {whole:.3f} s of the decomposition")
    return ratio
