# SPDX-License-Identifier: BSD-3-Clause
"""Fits of a tensor with the factors of adapters as they are stored, and rounded first."""

from __future__ import annotations

from collections.abc import Collection

from .fitting import TensorFit, fit_tensor, fits_sample
from .number_formats import Reals
from .operands import Operand, Operands
from .sources import Source


def fit_factors(
    operands: Operands,
    operand: Operand,
    source: Source,
    claim: Reals | None,
    likely: Collection[str] | None,
) -> tuple[Source, TensorFit]:
    """Fit all orders, and again with factors that the merger has rounded to the base's format.

    Return the source of which the orders are. The hull of both is reported if both fit.

    Parameters
    ----------
    operands, operand
        All operands, and the tensor.
    source
        Its numbers, with factors as they are stored.
    claim, likely
        As for :func:`fit_tensor`.
    """
    fit = fit_tensor(source, claim, likely)
    formats = source.formats
    if not operand.changes or formats.change.digits <= formats.base.digits:
        return source, fit
    other = operands.source(operand, rounded_factors=True)
    if fit.fits_exactly and not fits_sample(other, likely):
        return source, fit
    again = fit_tensor(other, claim, likely)
    if again.fits_exactly == fit.fits_exactly:
        return source, fit.joined(again)
    return (other, again) if again.fits_exactly else (source, fit)
