# SPDX-License-Identifier: BSD-3-Clause
"""Sketches and accumulators: the rows in parts, in any order."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import numpy as np

from sigmascope.results import SVD, Moments
from sigmascope.streaming import GramAccumulator, LinearSketch, MomentsAccumulator, Sketch

from .cases import Case
from .gallery import Array
from .measures import every, of_moments
from .outcome import Outcome, call
from .truth import Truth, product_of_rows

SQUARES = (-500, 500)
"""Exponents of entries whose squares, and sums of them, are all numbers of float64."""


def parts(case: Case, A: Any) -> list[tuple[int, Any]]:
    """Runs of rows with where they begin, in random order."""
    m = case.m
    draw = random.Random(case.matrix_seed)
    inside = draw.sample(range(1, m), min(case.options["parts"] - 1, m - 1)) if m > 1 else []
    edges = [0, *sorted(inside), m]
    runs = [(i, A[i:j]) for i, j in pairwise(edges)]
    draw.shuffle(runs)
    return runs


def sketch(case: Case, A: Any, truth: Truth, outcome: Outcome) -> None:
    options = {name: case.options[name] for name in ("width", "seed") if name in case.options}
    k = case.options["k"]
    if options.get("seed", 0) == 0:  # a matrix may be, or contain, one made to hide from seed 0
        options["seed"] = abs(case.index) + 1

    def run() -> SVD:
        seen = Sketch(case.n, k, **options)
        for _, rows in parts(case, A):
            seen.update(rows)
        return seen.svd()

    result = call(outcome, run)
    if result is None:
        return
    outcome.z.clear()
    s, _, residuals = _values(result, truth, outcome)
    if s is None:
        return
    assert result.Vt is not None
    V = result.Vt[np.linalg.norm(result.Vt, axis=1) > 0.5].T
    outcome.require("not orthonormal", np.abs(V.T @ V - np.eye(V.shape[1])).max(initial=0), 1e-9)
    s, residuals = s[: V.shape[1]], residuals[: V.shape[1]]
    rest = np.linalg.norm(
        product_of_rows(truth.X, product_of_rows(truth.X.T, V)) - V * s**2, axis=0
    )
    rounding = truth.quantum * (1 + 2 * s)  # of s, where that is subnormal, and so of its square
    limit = 1.01 * residuals**2 + 1e-13 * truth.values[0] ** 2 + rounding
    outcome.require("residual", rest, limit, "A^T A v - s^2 v")


def _values(result: SVD, truth: Truth, outcome: Outcome) -> Any:
    outcome.converged = result.converged
    s, errors = truth.down(result.s), truth.down(result.errors)
    residuals = truth.down(result.residuals)
    if not np.isfinite([*s, *errors, *residuals]).all():
        outcome.wrong("not finite", np.inf, f"s {s[:3]}, errors {errors[:3]}")
        return None, None, None
    n = min(len(s), len(truth.values))  # a sketch of fewer rows than k has zeros beyond
    off, outside = truth.beyond(s[:n], errors[:n])
    if np.any(outside > 0):
        i = int(np.argmax(outside))
        first = max(truth.values[0], 1e-300)
        ratio = off[i] / max(errors[i], 1e-300)
        text = f"value {i}: off {off[i] / first:.3g}, bound {errors[i] / first:.3g} sigma_1"
        outcome.wrong("outside bound", ratio, text)
    return s, errors, residuals


def linear_sketch(case: Case, A: Any, truth: Truth, outcome: Outcome) -> None:
    """Its errors fail with a chance of 1e-3, by their statistics; they are counted."""
    options = {name: case.options[name] for name in ("width", "seed") if name in case.options}

    def run() -> SVD:
        seen = LinearSketch((case.m, case.n), case.options["k"], **options)
        for i, rows in parts(case, A):
            seen.update(rows, row=i)
        return seen.svd()

    result = call(outcome, run)
    if result is None:
        return
    outcome.z.clear()
    outcome.converged = result.converged
    s, errors = truth.down(result.s), truth.down(result.errors)
    if not np.isfinite([*s, *errors]).all():
        outcome.wrong("not finite", np.inf, f"s {s[:3]}, errors {errors[:3]}")
        return
    off = np.maximum(np.abs(s - truth.values[: len(s)]) - 1e-14 * truth.values[0], 0)
    z = float(np.max(off / np.maximum(errors, 1e-300)))
    outcome.z["linear sketch, bounds of 1e-3"] = 4 * z  # so that beyond 4 is beyond its bound
    if z > 3:
        outcome.wrong("outside bound", z, f"off {off.max():.3g}, bound {errors.max():.3g}")


def gram_accumulator(case: Case, A: Any, truth: Truth, outcome: Outcome) -> None:
    def run() -> GramAccumulator:
        seen = GramAccumulator(case.n)
        for _, rows in parts(case, A):
            seen.update(rows)
        seen.svdvals()
        return seen

    seen = call(outcome, run)
    if seen is None:
        return
    outcome.z.clear()
    every(seen.svdvals(), truth, outcome)
    result = seen.svd(case.options["k"])
    s, _, residuals = _values(result, truth, outcome)
    if s is None:
        return
    assert result.Vt is not None
    V = result.Vt.T
    outcome.require("not orthonormal", np.abs(V.T @ V - np.eye(len(s))).max(), 1e-12)
    # With u along A v, of the lengths that rounding can tell from zero.
    image = product_of_rows(truth.X.T, V)
    lengths = np.sqrt(np.diagonal(product_of_rows(image, image)))
    resolved = lengths > 1e-6 * truth.values[0]
    U = image[:, resolved] / np.maximum(lengths[resolved], 1e-300)
    rest = np.linalg.norm(product_of_rows(truth.X, U) - V[:, resolved] * s[resolved], axis=0)
    limit = 1.01 * residuals[resolved] + 4e-15 * truth.values[0] + truth.quantum
    outcome.require("residual", rest, limit, "A^T u - s v")


def moments_accumulator(case: Case, A: Any, truth: Truth, outcome: Outcome) -> None:
    numbers: Array = case.numbers()

    def run() -> Moments:
        seen = MomentsAccumulator(case.n)
        for _, rows in parts(case, A):
            seen.update(rows)
        return seen.result()

    result = call(outcome, run)
    if result is not None:
        outcome.z.clear()
        of_moments(result, numbers, truth, outcome)
