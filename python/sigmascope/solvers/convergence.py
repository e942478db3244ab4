# SPDX-License-Identifier: BSD-3-Clause
"""The resolution of each precision, and warnings if a search did not reach its tolerance."""

from __future__ import annotations

import math
import warnings

import numpy as np

from sigmascope._host.native import _core
from sigmascope._words.text import counted
from sigmascope.errors import ConvergenceWarning
from sigmascope.spectra import SVD, SVDStack
from sigmascope.spectra.results import steps_and_reads

from .stacked import format_names, not_converged


def floor_of(precision: str) -> float:
    """Return the resolution of blocks of a precision, in units of sigma_1."""
    return _core.resolution(_roundoff(precision))


def exact_to(precision: str) -> float:
    """Return the largest error, in units of ||A||_F, of a value that is exact to rounding.

    It may be the root of the part of ||A||_F^2 that rounding hides (`randomized_svd.hpp`).
    """
    return math.sqrt(128 * _roundoff(precision))


def _roundoff(precision: str) -> float:
    return 2.0**-53 if precision == "float64" else 2.0**-24


def tolerance_note(tol: float, precision: str) -> tuple[str, ...]:
    """Return a note if a tolerance is below the resolution of blocks of a precision."""
    floor = floor_of(precision)
    if tol >= floor:
        return ()
    kind = "float64" if precision == "float64" else "float32"
    return (f"tol = {tol:g} is below the floor of {kind}, which replaces it: {floor:.2g} sigma_1",)


def warn_if_not_converged(top: SVD, tol: float, max_passes: int) -> SVD:
    """Warn the caller of svds if the tolerance was not reached."""
    if not top.converged:
        of, judged = ("error", top.errors) if top.U is None else ("residual", top.residuals)
        with np.errstate(invalid="ignore"):
            worst = float(np.max(judged / max(float(top.s[0]), 2.0**-1074)))
        warnings.warn(
            f"svds did not converge to tol = {tol:g} in {_course(top, max_passes)}: the worst {of} "
            f"is {worst:.2g} sigma_1; the error bounds remain valid",
            ConvergenceWarning,
            stacklevel=4,
        )
    return top


def _course(top: SVD, max_passes: int) -> str:
    """Return the steps and the reads of a search, with the limit if it ended the search."""
    if top.steps < max_passes:
        return steps_and_reads(top.steps, top.passes) + " of A"
    steps, reads = counted(top.steps, "step"), counted(top.passes, "read")
    return f"the {steps} that max_passes allows ({reads} of A)"


def warn_if_stack_not_converged(triplets: SVDStack, tol: float) -> SVDStack:
    """Warn the caller of svds if matrices of a stack did not reach the tolerance."""
    if names := not_converged(triplets):
        warnings.warn(
            f"svds did not converge to tol = {tol:g} for {len(names)} of {len(triplets.outcomes)} "
            f"matrices: {format_names(names)}; the error bounds remain valid",
            ConvergenceWarning,
            stacklevel=4,
        )
    return triplets
