# SPDX-License-Identifier: BSD-3-Clause
"""Evidence for triplets of a sparse matrix or operator, which is used through products."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from sigmascope._execution.options import CallOptions
from sigmascope.spectra import SVD

from .convergence import exact_to, floor_of


def with_evidence(svd: SVD, call: CallOptions, tol: float = 0.0) -> SVD:
    """Add the errors of the products, and the unknowns of the matrix, to its triplets.

    Triplets of a stored matrix are returned as they are. Triplets whose residuals (without vectors:
    errors) exceed `tol` because of the products have not converged. A `tol` of 0 is for triplets
    that are exact to rounding.
    """
    if call.operator is None:
        return svd
    known = call.operator.evidence
    largest = float(svd.s.max(initial=0.0))
    error = float(np.ldexp(known.absolute_error, known.exponent)) + known.relative_error * largest
    notes, passes = known.notes, svd.passes
    if known.defects is not None and svd.U is not None:
        passes += 1
        scaled = known.defects(np.asarray(svd.U), np.ldexp(svd.s, -known.exponent))
        of_transpose = float(np.ldexp(scaled.max(initial=0.0), known.exponent))
        if of_transpose > error:
            error = of_transpose
            notes += (
                f"products with the transpose are off by up to {_share(error, largest)} sigma_1 "
                "for these vectors: residuals and errors include that",
            )
    residuals, errors = svd.residuals + error, svd.errors + error
    floor = floor_of(svd.precision)
    limit = (max(tol, floor) + floor) * largest
    reached = np.full(1, error) if tol == 0 else errors if svd.U is None else residuals
    converged = svd.converged and bool(np.max(reached, initial=0.0) <= limit)
    if tol == 0:
        norm = largest * np.linalg.norm(svd.s / (largest or 1.0))
        converged &= bool(errors.max(initial=0.0) <= exact_to(svd.precision) * norm)
    if not converged and (svd.converged or (tol > 0 and error > floor * largest)):
        notes += (
            f"not converged: the errors of products, {_share(error, largest)} sigma_1, exceed "
            + ("rounding" if tol == 0 else f"what tol = {tol:g} allows"),
        )
    return replace(
        svd,
        residuals=residuals,
        errors=errors,
        converged=converged,
        passes=passes,
        fro_norm=known.fro_norm,
        notes=(*svd.notes, *notes),
    )


def _share(error: float, largest: float) -> str:
    return f"{error / largest if largest > 0 else math.inf:.2g}"
